/// What there is, where a name is not known, and which of it may have been meant: the one form in which every message
/// says so.
///
/// ```swift
/// choices(["left", "right", "sinks"], near: "lft")  // left, right, sinks (did you mean left?)
/// choices(["left", "right"], near: "dilation")      // left, right
/// ```
/// - Parameters:
///   - names: what there is.
///   - text: what was given.
///   - limit: how many names are shown at most.
/// - Complexity: O(names · length²).
public func choices(_ names: [String], near text: String, limit: Int = 50) -> String {
  shown(list: names, limit: limit) + suggestion(near: text, among: names)
}

/// The end of such a message: ` (did you mean left?)`, or nothing where no name is near.
public func suggestion(near text: String, among names: [String]) -> String {
  let meant = Synonyms.names(for: text, among: names)
  let found = meant.isEmpty ? [nearestName(to: text, among: names)].compactMap(\.self) : meant
  return found.isEmpty ? "" : " (did you mean \(found.map { shown($0) }.joined(separator: ", "))?)"
}

/// The name with the smallest edit distance, when it is close enough to be a slip of the pen; else the only name that
/// begins with the text, or the only one that holds it, as `shared` means `shared_query_key`.
public func nearestName(to text: String, among names: [String]) -> String? {
  // The distance takes time in proportion to both lengths, and no slip of the pen is that long.
  guard text.utf8.count <= 200 else { return nil }
  let best = names.filter { $0.utf8.count <= 400 }.map {
    ($0, editDistance(text.lowercased(), $0.lowercased()))
  }.min { $0.1 < $1.1 }
  if let best, best.1 <= 1 { return best.0 }
  if let start = slipOfStart(text, among: names) { return start }
  if let best, text.count > 4, best.1 <= max(2, text.count / 3) { return best.0 }
  // Words are joined by one sign or another, or by none.
  func joined(_ name: String) -> String { name.lowercased().filter { $0 != "_" && $0 != "-" } }
  let word = joined(text)
  guard word.count >= 3 else { return nil }
  for isMeant in [{ $0.hasPrefix(word) }, { $0.contains(word) }] as [(String) -> Bool] {
    let meant = names.filter { isMeant(joined($0)) }
    if meant.count == 1 { return meant[0] }
  }
  return nil
}

/// The only name whose beginning is the text but for one slip, as `slidng` is that of `sliding-window`.
private func slipOfStart(_ text: String, among names: [String]) -> String? {
  guard text.count >= 4 else { return nil }
  let word = text.lowercased()
  let meant = names.filter { name in
    (word.count - 1...word.count + 1).contains { length in
      name.count > length && editDistance(word, String(name.lowercased().prefix(length))) <= 1
    }
  }
  return meant.count == 1 ? meant[0] : nil
}

private func editDistance(_ first: String, _ second: String) -> Int {
  let a = Array(first), b = Array(second)
  var before: [Int] = [], row = Array(0...b.count)
  for i in a.indices {
    let last = row
    row[0] = i + 1
    for j in b.indices {
      row[j + 1] = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
      // Two letters in the wrong order are one slip.
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { row[j + 1] = min(row[j + 1], before[j - 1] + 1) }
    }
    before = last
  }
  return row[b.count]
}
