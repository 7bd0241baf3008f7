# What every reference script shares: exact JSON, with the versions that made it.
# A script ends in `write_reference(list(...), packages = c("lme4"))`; it is run as
# `Rscript x.R OUTPUT.json` from this folder (`make references` does so for all).
suppressPackageStartupMessages(library(jsonlite))

write_reference <- function(values, packages = character()) {
  versions <- lapply(stats::setNames(packages, packages),
                     function(p) as.character(utils::packageVersion(p)))
  made_with <- c(list(R = paste(R.version$major, R.version$minor, sep = ".")), versions)
  out <- commandArgs(trailingOnly = TRUE)[1]
  write_json(c(list(made_with = made_with), values), out,
             digits = NA, auto_unbox = TRUE, na = "null", null = "null", pretty = TRUE,
             dataframe = "columns")
}
