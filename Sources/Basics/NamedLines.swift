/// Lines of a name and what there is to say of it, the names in a column of their own.
///
/// ```swift
/// namedLines([("time", "2 ms"), ("memory", "3 MiB")])  // "time    2 ms\nmemory  3 MiB"
/// ```
/// - Parameters:
///   - lines: names and texts.
///   - width: the most columns of a line; longer texts go on below their beginning.
/// - Returns: the lines, joined by line breaks.
public func namedLines(_ lines: [(String, String)], width: Int = Screen.columns()) -> String {
  let column = (lines.map(\.0.count).max() ?? 0) + 2
  let room = max(8, width - column)
  return lines.map { name, text in
    wrapped(text, first: room, others: room, cutsWords: false).enumerated().map { index, piece in
      let head = index == 0 ? name : ""
      return head + String(repeating: " ", count: column - head.count) + piece
    }.joined(separator: "\n")
  }.joined(separator: "\n")
}
