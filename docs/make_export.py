"""The wide export that the tutorial reads, simulated: ``python -m docs.make_export``.

Ninety-six clients of 16 therapists in two conditions; client and therapist answer six items on
their bond after each of up to eight sessions, the client a symptom score too. Those whose bond has
been weak leave more often. It is written as a questionnaire service writes it for German Excel.
"""

from pathlib import Path

import numpy as np

FILE = Path(__file__).parent / "pages" / "tutorial" / "export.csv"
SESSIONS, ITEMS, CLIENTS, THERAPISTS = 8, 6, 96, 16
TURNED = 2  # the third item means the opposite


def main() -> None:
    """Write the file."""
    draw = np.random.default_rng(20)
    of_therapist = draw.normal(0.0, 0.3, THERAPISTS)
    header = ["Code", "Therapist", "Condition", "Ending"]
    for session in range(1, SESSIONS + 1):
        header += [f"{who}_bond{k}_s{session}" for who in ("client", "therapist")
                   for k in range(1, ITEMS + 1)]  # fmt: skip
        header.append(f"client_symptoms_s{session}")
    lines = [";".join(header)]
    for client in range(CLIENTS):
        lines.append(";".join(_client(draw, client, of_therapist[client % THERAPISTS])))
    FILE.write_text("\r\n".join(lines) + "\r\n", encoding="cp1252", newline="")


def _client(draw: np.random.Generator, client: int, bond: float) -> list[str]:
    """Return a client's cells: empty after the last session, here and there an item left out."""
    trained = client // THERAPISTS % 2
    usual = 4.6 + bond + 0.3 * trained + draw.normal(0.0, 0.7)
    of_item = draw.normal(0.0, 0.4, ITEMS)
    symptoms, ending, cells = 24.0 + draw.normal(0.0, 4.0), "", list[str]()
    for session in range(1, SESSIONS + 1):
        if ending:
            cells += [""] * (2 * ITEMS + 1)
            continue
        level = usual + 0.08 * session + draw.normal(0.0, 0.5)
        for leniency in (0.0, -0.2):
            answers = level + leniency + of_item + draw.normal(0.0, 0.8, ITEMS)
            answers[TURNED] = 8.0 - answers[TURNED]
            left_out = draw.random(ITEMS) < 0.01
            rounded = np.clip(np.round(answers), 1, 7)
            cells += ["" if gap else f"{x:.0f}" for gap, x in zip(left_out, rounded, strict=True)]
        symptoms += -1.0 - 0.8 * (level - 4.8) + draw.normal(0.0, 1.5)
        cells.append(f"{max(symptoms, 0.0):.1f}".replace(".", ","))
        if session < SESSIONS and draw.random() < 1.0 / (1.0 + np.exp(2.4 + 1.1 * (level - 4.8))):
            ending = "broken off"
        elif session == SESSIONS or (session > 4 and draw.random() < 0.15):
            ending = "completed"
    name = f"K-{client + 1:03d}"
    condition = ("usual", "alliance training")[trained]
    return [name, f"Th. {client % THERAPISTS + 1}", condition, ending, *cells]


if __name__ == "__main__":
    main()
