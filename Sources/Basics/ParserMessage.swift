/// A message of the argument parser in the form of all others: one line; of a value that is none of some words, what it
/// takes and what was meant.
///
/// The parser lists more than five words on lines of their own, and its errors are types of its own, so the text is all
/// that there is to read. `ArgumentValueTests` holds the sentences that are read here.
package enum ParserMessage {
  /// The line, and whether it already says all that help would.
  package static func line(_ message: String) -> (text: String, isComplete: Bool) {
    let found = #/The value '(.*)' is invalid for '(?:(-[^ ]*) )?<(.*)>'\. Please provide one of (.*)/#
      .dotMatchesNewlines()
    guard let match = message.wholeMatch(of: found) else {
      return (shown(message.split(whereSeparator: \.isNewline).first ?? "wrong usage", limit: 600), false)
    }
    let (_, value, flag, name, list) = match.output
    let allowed = choices(words(String(list)), near: String(value))
    return ("\(flag ?? name) \(shown(value)): it takes one of \(allowed)", true)
  }

  /// `'a', 'b' or 'c'.`, or lines of `- a`.
  private static func words(_ list: String) -> [String] {
    guard list.contains("\n") else {
      return list.matches(of: #/'([^']*)'/#).map { String($0.output.1) }
    }
    return list.split(separator: "\n").dropFirst().map { $0.trimmed.dropFirst(2).description }
  }
}
