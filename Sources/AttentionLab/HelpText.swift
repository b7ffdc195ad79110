/// The long text of a help page.
///
/// The parser breaks every line at the width of the terminal, so text must come as whole paragraphs, and an example that
/// is to be copied must fit into 80 columns with its line breaks escaped.
enum HelpText {
  /// Paragraphs, then examples.
  /// - Parameters:
  ///   - text: paragraphs, separated by empty lines; single line breaks are those of the source and are taken out.
  ///   - examples: command lines, one each; a test runs them all as they are printed.
  static func page(_ text: String = "", examples: [String]) -> String {
    let paragraphs = text.split(separator: "\n\n").map { $0.split(separator: "\n").joined(separator: " ") }
    let title = examples.count == 1 ? "Example:" : "Examples:"
    let lines = examples.map { folded($0) }
    return (paragraphs + [([title] + lines).joined(separator: "\n")]).joined(separator: "\n\n")
  }

  /// A command line in lines of at most 78 columns, which the shell reads as one.
  static func folded(_ command: String) -> String {
    var lines: [String] = []
    var line = "  "
    for word in words(command) {
      let separator = line.last == " " ? "" : " "
      // Two columns are left for " \".
      if line.count + separator.count + word.count > 76, line.contains(where: { $0 != " " }) {
        lines.append(line + " \\")
        line = "    " + word
      } else {
        line += separator + word
      }
    }
    return (lines + [line]).joined(separator: "\n")
  }

  /// The words between blanks outside quotes; a flag stays with its value.
  private static func words(_ command: String) -> [String] {
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
}
