import Basics

/// Rows of one identity, the length or the seed aside: one line of a comparison, one curve of a figure.
package struct RowGroup<Row: Traceable> {
  /// The rows, one a slot (a length, a seed), in the order of their first.
  package var rows: [Row]
  /// What tells the group from another that is the same but for where it was made; empty when there is none.
  package var origin: String
}

/// Sorts rows into groups by identity. Equal rows count once. Rows of one group and slot that differ are told apart by
/// the commit, the host or the file that they come from; where that is the same, too, the last counts, and it is said.
package struct RowGroups<Row: Traceable> {
  package private(set) var groups: [RowGroup<Row>] = []
  /// What was left out, a line each.
  package private(set) var notes: [String] = []

  /// - Parameters:
  ///   - key: what is equal in a group.
  ///   - slot: what is different within one.
  ///   - name: how a note names a row.
  package init(
    _ rows: [Row], by key: (Row) -> String, slot: (Row) -> String, name: (Row) -> String
  ) {
    var seen: Set<[String]> = []
    let distinct = rows.filter { seen.insert($0.fields).inserted }
    for members in grouped(distinct, by: key) {
      for part in Self.separate(members, slot: slot) {
        var kept = part
        let slots = grouped(part.rows, by: slot)
        kept.rows = slots.compactMap(\.last)
        for slot in slots where slot.count > 1 {
          notes.append(
            "\(name(slot[0])): \(slot.count) rows of one identity differ in \(Self.difference(slot)); the last counts"
          )
        }
        groups.append(kept)
      }
    }
  }

  /// Splits rows by the first place of origin that tells all of those apart that share a slot.
  private static func separate(_ rows: [Row], slot: (Row) -> String) -> [RowGroup<Row>] {
    let slots = grouped(rows, by: slot).filter { $0.count > 1 }
    guard !slots.isEmpty else { return [RowGroup(rows: rows, origin: "")] }
    func all(_ row: Row) -> String { places.map { $0.value(row) }.joined(separator: "\u{1F}") }
    let telling = places.first { place in
      slots.allSatisfy { rows in Set(rows.map(place.value)).count == rows.count }
    }
    if let telling {
      return grouped(rows, by: telling.value).map { RowGroup(rows: $0, origin: telling.words($0[0])) }
    }
    let parts = grouped(rows, by: all)
    guard parts.count > 1 else { return [RowGroup(rows: rows, origin: "")] }
    let differing = places.filter { place in Set(rows.map(place.value)).count > 1 }
    return parts.map { part in
      let words = differing.map { $0.words(part[0]) }.filter { !$0.isEmpty }
      return RowGroup(rows: part, origin: words.joined(separator: ", "))
    }
  }

  private struct Place {
    let value: (Row) -> String
    let words: (Row) -> String
  }

  private static var places: [Place] {
    [
      Place(
        value: { $0.commit },
        words: { $0.commit.isEmpty ? "" : "commit \(shortCommit($0.commit))" }),
      Place(value: { $0.host }, words: { $0.host.isEmpty ? "" : "host \($0.host)" }),
      Place(value: { $0.source }, words: { $0.source.isEmpty ? "" : "from \($0.source)" }),
    ]
  }

  /// The columns in which rows differ, in words.
  private static func difference(_ rows: [Row]) -> String {
    let columns = Row.schema.filter { column in Set(rows.map(column.text)).count > 1 }.map(\.name)
    let shown = columns.prefix(4).joined(separator: ", ")
    return columns.count > 4 ? "\(shown) and \(columns.count - 4) more columns" : shown
  }
}

/// The first eight digits of a commit, with its mark of changed files.
func shortCommit(_ commit: String) -> String { commit.prefix(8) + (commit.hasSuffix("+") ? "+" : "") }

/// Elements with equal keys together, in the order of their first.
/// - Complexity: O(n).
package func grouped<Element>(_ elements: [Element], by key: (Element) -> String) -> [[Element]] {
  elements.grouped(by: key).map(\.elements)
}

extension Record {
  /// The values of some fields as one text: a key to group by.
  package func key(_ fields: [Field<Self>]) -> String {
    fields.map { $0.text(self) }.joined(separator: "\u{1F}")
  }
}
