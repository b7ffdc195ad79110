/// Text for people in lines of a width: longer lines are folded at blanks.
///
/// A folded line goes on below its own beginning, two columns further in. A line that begins with the name of a program
/// and stands two columns in is a command to copy: its parts end in ` \`, so that the shell reads one line.
/// ```swift
/// folded("one two three", width: 9)             // "one two\n  three"
/// folded("  attnlab list schema", width: 16)    // "  attnlab list \\\n    schema"
/// ```
/// - Parameters:
///   - text: lines; what is short enough stays as it is.
///   - width: the most columns of a line. A word that is longer stays whole, so that a path can be copied.
/// - Returns: the lines, joined by line breaks.
public func folded(_ text: String, width: Int = Screen.columns()) -> String {
  text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
    guard line.count > width else { return String(line) }
    if line.hasPrefix("  attnlab ") {
      return foldedCommand(String(line.dropFirst(2)), width: width)
    }
    let indent = line.prefix { $0 == " " }.count + 2
    let pieces = wrapped(
      line.drop { $0 == " " }, first: width - indent + 2, others: width - indent, cutsWords: false)
    return pieces.enumerated().map { index, piece in
      String(repeating: " ", count: index == 0 ? indent - 2 : indent) + piece
    }.joined(separator: "\n")
  }.joined(separator: "\n")
}

/// A command line, two columns in, in lines which the shell reads as one. A flag stays with its value, and what is in
/// quotes is not broken.
/// - Parameters:
///   - command: the command, without indentation.
///   - width: the most columns of a line.
/// - Returns: the lines, joined by line breaks.
public func foldedCommand(_ command: String, width: Int = Screen.columns()) -> String {
  var lines: [String] = []
  var line = "  "
  for word in commandWords(command) {
    let separator = line.last == " " ? "" : " "
    // Two columns are left for " \".
    if line.count + separator.count + word.count > width - 4, line.contains(where: { $0 != " " }) {
      lines.append(line + " \\")
      line = "    " + word
    } else {
      line += separator + word
    }
  }
  return (lines + [line]).joined(separator: "\n")
}

/// The words between blanks outside quotes; a flag stays with its value.
private func commandWords(_ command: String) -> [String] {
  var words: [String] = []
  var word = ""
  var quote: Character?
  for character in command {
    if character == quote {
      quote = nil
    } else if quote == nil, character == "'" || character == "\"" {
      quote = character
    }
    if character == " ", quote == nil {
      words.append(word)
      word = ""
    } else {
      word.append(character)
    }
  }
  words.append(word)
  return words.reduce(into: []) { pairs, word in
    if let last = pairs.last, last.hasPrefix("--"), !last.contains(" "), !word.hasPrefix("-") {
      pairs[pairs.count - 1] += " " + word
    } else {
      pairs.append(word)
    }
  }
}

/// Text in pieces of at most a width, broken at blanks.
/// - Parameters:
///   - first: the width of the first piece.
///   - others: that of the others.
///   - cutsWords: whether a word that is longer is broken after a sign that joins words, else anywhere; else it stays whole.
package func wrapped(_ text: some StringProtocol, first: Int, others: Int, cutsWords: Bool) -> [String] {
  var pieces: [String] = []
  var rest = Substring(text)
  while true {
    let width = max(1, pieces.isEmpty ? first : others)
    guard rest.count > width else {
      pieces.append(String(rest))
      return pieces
    }
    guard
      let (piece, left) = atBlank(rest, width, isLast: !cutsWords) ?? (cutsWords ? inWord(rest, width) : nil)
    else {
      pieces.append(String(rest))
      return pieces
    }
    pieces.append(piece)
    rest = left
  }
}

/// A text broken at the last blank that a width reaches, outside brackets where it can be.
/// - Parameter isLast: whether there is no other way: then any blank will do, also one behind the width.
private func atBlank(_ text: Substring, _ width: Int, isLast: Bool) -> (piece: String, rest: Substring)? {
  // A blank right behind the width ends a piece, too.
  let reach = text[...text.index(text.startIndex, offsetBy: width)]
  let held = reach.dropLast()
  let open = held.lastIndex(of: "[").flatMap { held[$0...].contains("]") ? nil : $0 }
  let found = open.flatMap { reach[..<$0].lastIndex(of: " ") } ?? reach.lastIndex(of: " ")
  let isFar = found.map { text.distance(from: text.startIndex, to: $0) * 3 >= width } ?? false
  guard let blank = isFar ? found : isLast ? found ?? text.firstIndex(of: " ") : nil, blank > text.startIndex
  else { return nil }
  return (String(text[..<blank]).trimmingSuffix(" "), text[blank...].drop { $0 == " " })
}

/// A text broken within a word: after the last sign that joins words, else at the width.
private func inWord(_ text: Substring, _ width: Int) -> (piece: String, rest: Substring) {
  let end = text.index(text.startIndex, offsetBy: width)
  let joints: Set<Character> = [";", ",", "/", "-", "_", ")", "="]
  let joint = text[..<end].lastIndex { joints.contains($0) }
  if let joint, text.distance(from: text.startIndex, to: joint) * 3 >= width {
    let next = text.index(after: joint)
    return (String(text[..<next]), text[next...])
  }
  return (String(text[..<end]), text[end...])
}
