/// The long text of a help page.
///
/// The parser breaks every line at the width of the terminal, so text must come as whole paragraphs, and an example that
/// is to be copied must fit with its line breaks escaped. What the parser does not break, `fitted` does.
package enum HelpText {
  /// Paragraphs, then examples.
  /// - Parameters:
  ///   - text: paragraphs, separated by empty lines; single line breaks are those of the source and are taken out.
  ///   - examples: command lines, one each; a test runs them all as they are printed.
  package static func page(_ text: String = "", examples: [String]) -> String {
    let paragraphs = text.split(separator: "\n\n").map { $0.split(separator: "\n").joined(separator: " ") }
    let title = examples.count == 1 ? "Example:" : "Examples:"
    let lines = examples.map { foldedCommand($0, width: min(80, Screen.columns())) }
    return (paragraphs + [([title] + lines).joined(separator: "\n")]).joined(separator: "\n\n")
  }

  /// A help page of the parser in lines of a width: it folds no usage line, and calls groups of subcommands subcommands.
  package static func fitted(_ page: String, width: Int = Screen.columns()) -> String {
    let lines = page.split(separator: "\n", omittingEmptySubsequences: false).map { line -> String in
      let suffix = " SUBCOMMANDS:"
      return line.hasSuffix(suffix) ? String(line.dropLast(suffix.count)) + ":" : String(line)
    }
    return folded(lines.joined(separator: "\n"), width: width)
  }
}
