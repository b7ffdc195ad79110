import ArgumentParser
import Basics
import Commands
import Records

/// How a CSV file of another program is written.
struct CSVReadingOptions: ParsableArguments {
  @Option(
    help:
      "What separates fields: comma, semicolon, tab, pipe, space, or a sign. Another one than a comma is named.",
    completion: .list(CSVDialect.separatorNames))
  var separator: String?

  @Flag(help: "Numbers are written 1.234,5.")
  var decimalComma = false

  @Option(help: "How text is encoded; latin1: Windows-1252.")
  var encoding = CSVDialect.Encoding.utf8

  /// The dialect that the options describe.
  func dialect() throws(UsageError) -> CSVDialect {
    try CSVDialect(separator: separator, decimalComma: decimalComma, encoding: encoding)
  }
}
