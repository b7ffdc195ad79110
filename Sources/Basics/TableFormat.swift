/// How a table is written: for a terminal, or for a document or a program.
public enum TableFormat: String, CaseIterable, Sendable {
  /// Aligned columns in lines that fit the screen.
  case text
  /// Markdown.
  case md
  /// A `tabular` of LaTeX.
  case latex
  /// RFC 4180.
  case csv
}

extension TextTable {
  /// The table in a format. A cell in `**` is bold where the format knows bold.
  /// - Parameter format: text, Markdown, LaTeX or CSV.
  /// - Returns: lines, without a line break at the end.
  public func text(as format: TableFormat) -> String {
    switch format {
    case .text: text
    case .md: markdown()
    case .latex: latex
    case .csv: csv
    }
  }

  /// A `tabular`: words to the left, numbers to the right.
  private var latex: String {
    let columns = isNumeric.map { $0 ? "r" : "l" }.joined()
    let lines = ([header] + rows).map { cells in cells.map(Self.latex).joined(separator: " & ") + " \\\\" }
    return (["\\begin{tabular}{\(columns)}", lines[0], "\\hline"] + lines.dropFirst() + ["\\end{tabular}"])
      .joined(separator: "\n")
  }

  private static func latex(_ cell: String) -> String {
    if cell.count > 4, cell.hasPrefix("**"), cell.hasSuffix("**") {
      return "\\textbf{\(latex(String(cell.dropFirst(2).dropLast(2))))}"
    }
    // `n^b` is a power, not a sign between two letters.
    let powers = cell.replacing(/\b([A-Za-z])\^([A-Za-z0-9])\b/) {
      "\u{1}\($0.output.1)\u{2}\($0.output.2)\u{3}"
    }
    return powers.replacingScalars(signs)
  }

  /// What LaTeX writes for signs that mean something to it, or that its fonts lack.
  private static let signs: [Unicode.Scalar: String] = [
    "\\": "\\textbackslash{}", "&": "\\&", "%": "\\%", "$": "\\$", "#": "\\#", "_": "\\_", "{": "\\{",
    "}": "\\}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "×": "$\\times$", "±": "$\\pm$",
    "≈": "$\\approx$", "∝": "$\\propto$", "–": "--", "∞": "$\\infty$", "<": "$<$", ">": "$>$",
    "·": "$\\cdot$",
    "\u{1}": "$", "\u{2}": "^{", "\u{3}": "}$", "≥": "$\\geq$", "≤": "$\\leq$", "−": "$-$", "…": "\\ldots{}",
    "Δ": "$\\Delta$",
  ]

  private var csv: String {
    ([header] + rows).map { $0.map(csvField).joined(separator: ",") }.joined(separator: "\n")
  }
}
