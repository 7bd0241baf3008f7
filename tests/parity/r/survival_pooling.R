# Rubin's rules with Barnard & Rubin's degrees of freedom, by mice.
source("common.R")
suppressPackageStartupMessages(library(mice))
p <- pool.scalar(c(1.2, 1.5, .9, 1.4, 1.1), c(.20, .22, .18, .21, .19), n = 41, k = 1)
write_reference(list(pooled = p[c("qbar", "t", "df", "fmi")]), packages = "mice")
