"""How a block copies a stage of an operand to shared memory, piece by piece.

In shared memory piece ``p`` of all lines is together, line ``l`` at ``l ^ p (8 / slots)``: so eight lines of a piece,
which ``ldmatrix`` reads, and the pieces of neighbouring lines, which are copied, lie in different banks. Lines beyond
the operand's are read as the last one, inputs beyond its as zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from ..copies import Copy
from .codes import PIECE, PLACES, run_pieces


def slots_of_line(pieces: int) -> int:
    """Threads that copy a line of so many pieces: a power of two, so that a thread always has the same piece."""
    return 1 << (pieces - 1).bit_length()


def turn_of_piece(pieces: int) -> int:
    """By how much a line's number is turned for each piece; see the module's words on banks."""
    return PLACES // slots_of_line(pieces)


@dataclass(frozen=True)
class Lines:
    """How a block copies an operand: a stage of it is ``lines`` lines from ``first`` on, behind ``offset``."""

    operand: str
    count: str
    """Of the operand's lines."""
    first: str
    lines: int
    line_bytes: str
    """In memory."""
    offset: str
    pieces: int
    """Of a line in a stage."""
    inside: str
    """Whether the operand has the input ``depth``."""
    bytes: int
    """That are copied at once; lines are a multiple of it."""
    run: int
    """Pieces of a line that neighbour each other in memory; the runs are as many eighths of it apart."""
    fetched: str
    """The first of a thread's registers, where copies pass any."""
    threads: int

    @property
    def stride(self) -> int:
        """Lines that are copied at once."""
        stride = self.threads // slots_of_line(self.pieces)
        assert stride % 8 == 0, "a piece is turned alike in all lines that a thread copies"
        return stride

    @property
    def copies(self) -> int:
        """Of a thread."""
        return -(-self.lines // self.stride)

    @property
    def sources(self) -> str:
        """Declares what the copies read."""
        return self._substitute(_SOURCES)

    def fetch(self, copy: Copy) -> str:
        """Statements that fetch a thread's pieces of ``ahead`` stages later, for the buffer ``stage``."""
        return self._of_every_copy(_FETCH, statement=copy.part(self.bytes))

    def store(self, copy: Copy) -> str:
        """Statements that store what :meth:`fetch` has left in registers."""
        return self._of_every_copy(_STORE, statement=copy.store) if copy.store else ""

    def _of_every_copy(self, template: Template, statement: str) -> str:
        return self._substitute(_EVERY_COPY, each=self._substitute(template, statement=statement))

    def _substitute(self, template: Template, **others: str) -> str:
        return template.substitute(
            operand=self.operand,
            count=self.count,
            first=self.first,
            lines=self.lines,
            line_bytes=self.line_bytes,
            offset=self.offset,
            pieces=self.pieces,
            inside=self.inside,
            bytes=self.bytes,
            slots=slots_of_line(self.pieces),
            turn=turn_of_piece(self.pieces),
            run=self.run,
            stride=self.stride,
            copies=self.copies,
            fetched=self.fetched,
            **others,
        )


def operand_lines(rows: int, columns: int, threads: int, bits: int, alignment: int, offset: int) -> tuple[Lines, Lines]:
    """Those of the activations, whose lines are multiples of ``alignment`` bytes, and of the weight behind them, which
    has codes of ``bits`` bits."""
    run = run_pieces(bits)
    x = Lines(
        "x", "rows", "first_row", rows, "inputs", "0", PLACES, "depth < inputs", alignment, run, "0", threads
    )  # fmt: skip
    weight = Lines(
        "weight", "channels", "first_column", columns, f"(place_bytes * {bits})", str(offset), bits, "true", PIECE, run,
        "x_copies", threads,
    )  # fmt: skip
    return x, weight


_SOURCES = Template(r"""
  constexpr int ${operand}_copies = ${copies};
  const int ${operand}_piece = thread % ${slots}, ${operand}_line = thread / ${slots};
  int ${operand}_depth = ${operand}_piece / ${run} * (place_bytes * ${run}) + ${operand}_piece % ${run} * 16;
  const auto* ${operand}_source = ${operand} + ${operand}_depth;
  signed char* const ${operand}_target =
      staged + ${offset} + (${operand}_piece * ${lines} + (${operand}_line ^ ${operand}_piece * ${turn})) * 16;
  // Where none is beyond the last one, the lines that a thread copies are equally far apart.
  const bool ${operand}_ragged = ${count} % ${lines} != 0;
  if (!${operand}_ragged) ${operand}_source += (${first} + ${operand}_line) * ${line_bytes};
  int ${operand}_offset[${copies}];
#pragma unroll
  for (int i = 0; i < ${copies}; ++i) {
    const int line = ${first} + ${operand}_line + i * ${stride};
    ${operand}_offset[i] = ${operand}_ragged ? min(line, ${count} - 1) * ${line_bytes} : i * ${stride} * ${line_bytes};
  }
""")
_EVERY_COPY = Template(r"""
#pragma unroll
    for (int i = 0; i < ${copies}; ++i) {
      if ((${slots} == ${pieces} || ${operand}_piece < ${pieces}) &&
          (${lines} % ${stride} == 0 || ${operand}_line + i * ${stride} < ${lines})) {
        const int copy = ${fetched} + i;
        signed char* target = ${operand}_target + stage * kStageBytes + i * (${stride} * 16);
        ${each}
      }
    }
""")
_FETCH = Template(r"""
        const auto* source = ${operand}_source + (${operand}_offset[i] + ahead * (${run} * 16));
#pragma unroll
        for (int part = 0; part < 16; part += ${bytes}) {
          const int depth = ${operand}_depth + ahead * (${run} * 16) + part;
          const bool inside = inputs % 128 == 0 || ${inside};
          ${statement}
        }
""")
_STORE = Template("${statement}")
