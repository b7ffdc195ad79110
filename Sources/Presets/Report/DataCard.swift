import Basics
import Foundation
import Records

/// `README.md` beside results: what was run and where, what the tables say, how to read them and how to make them again.
///
/// Its front matter lists the tables as those of a data set, as the hub of Hugging Face and its library `datasets` read it.
struct DataCard {
  /// A table that stands in the folder.
  struct Table {
    let declared: ResultTable
    let rows: Int
  }

  let provenance: Provenance
  let folder: String
  let tables: [Table]

  /// Looks which tables stand in a folder.
  /// - Parameters:
  ///   - provenance: where the results come from.
  ///   - folder: the folder.
  ///   - kinds: the kinds of experiment whose tables are looked for.
  init(_ provenance: Provenance, folder: String, kinds: ExperimentCatalog) {
    (self.provenance, self.folder) = (provenance, folder)
    tables = ResultTables(kinds.types.flatMap { $0.tables }).tables.compactMap { table in
      guard let data = FileManager.default.contents(atPath: "\(folder)/\(table.name)"), !data.isEmpty else {
        return nil
      }
      return Table(declared: table, rows: max(0, data.count { $0 == 0x0A } - 1))
    }
  }

  /// What tells a card of this program from a text that a user wrote, which is never replaced.
  private static let mark = "<!-- Written by attnlab"

  /// Writes the card, unless a text of a user stands there.
  /// - Returns: the file; `nil`: it is a user's.
  /// - Throws: `UsageError` when it cannot be written.
  func write() throws(UsageError) -> String? {
    let file = "\(folder)/\(Report.card)"
    if let found = FileManager.default.contents(atPath: file), !found.isEmpty,
      found.firstRange(of: Data(Self.mark.utf8)) == nil
    {
      return nil
    }
    try RunFolder.replace(file, with: text)
    return file
  }

  /// The card.
  var text: String {
    [
      frontMatter,
      "\(Self.mark) \(LabVersion.current). attnlab report writes it anew; a README.md without this line is left alone. -->",
      "# \(provenance.title)", provenance.presetField("question") ?? "",
      "## What was run", facts, "## Files", files, "## How to read it", reading, "## How to make it again",
      "```\n\(provenance.commands(folder).joined(separator: "\n"))\n```",
      "`environment.json` has the whole text of the preset or the training, and every session.",
      "## Columns",
    ].filter { !$0.isEmpty }.joined(separator: "\n\n") + "\n\n"
      + tables.map { "### `\($0.declared.name)`\n\n\($0.declared.markdown)\n" }.joined(separator: "\n")
  }

  /// The first table is the one that is meant where none is named.
  private var frontMatter: String {
    var lines = [
      "---", "pretty_name: \(JSONValue.quote(provenance.title))", "tags:", "- attention", "- benchmark",
      "configs:",
    ]
    for (number, table) in tables.enumerated() {
      let file = table.declared.name
      lines += ["- config_name: \(file.replacing(".csv", with: ""))", "  data_files: \(file)"]
      if number == 0 { lines.append("  default: true") }
    }
    return (lines + ["---"]).joined(separator: "\n")
  }

  private var facts: String {
    var table = TextTable(["", ""])
    for (name, value) in provenance.facts { table.add([name, value]) }
    return table.markdown()
  }

  private var files: String {
    var table = TextTable(["file", "a row is", "rows"])
    for entry in tables { table.add([entry.declared.name, entry.declared.row, "\(entry.rows)"]) }
    return table.markdown(code: [0])
  }

  private var reading: String {
    guard let first = tables.first?.declared.name else { return "" }
    let name = first.replacing(".csv", with: "")
    return """
      ```python
      import pandas as pd
      rows = pd.read_csv("\(first)")

      from datasets import load_dataset
      rows = load_dataset("PATH OR NAME OF THIS FOLDER", "\(name)")
      ```

      The files follow RFC 4180: commas, a point in numbers, UTF-8, one header. An empty cell is a missing value.
      Rows whose `status` is not `ok` have no numbers; `reason` says why. Times of different values of `machine` are never compared.
      """
  }
}
