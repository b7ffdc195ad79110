import Basics
import Foundation
import Testing

@testable import Records

@Suite struct CSVTableTests {
  @Test func readsQuotedFieldsAndBothLineBreaks() throws {
    let table = try CSVTable(text: "a,b\r\n1,\"x, \"\"y\"\"\nz\"\n,last", file: "t.csv")
    #expect(table.header == ["a", "b"])
    #expect(table.rows == [["1", "x, \"y\"\nz"], ["", "last"]])
    #expect(table.lines == [2, 4])
    #expect(try table.numbers("a") == [1, nil])
  }

  @Test(arguments: [
    ("", "t.csv: the file is empty; a header line is needed"),
    ("a,b\n1\n", "t.csv:2: 1 fields where the header has 2"),
    ("a,b\n1,\"x\n", "t.csv:2: a quoted field does not end"),
    ("a,b\n1,2\u{0}0\n", "t.csv:2: a zero byte: this is no text"),
    ("a,b\n1,x\"\n", "t.csv:2: a quote inside an unquoted field"),
    ("a,b\n1,\"x\"y\n", "t.csv:2: text after a closing quote"),
    ("a,a\n", "t.csv:1: column a appears twice"),
  ])
  func namesTheLineOfAMistake(text: String, message: String) {
    #expect(throws: UsageError(message)) { try CSVTable(text: text, file: "t.csv") }
  }

  @Test func namesTheColumnsThatThereAre() throws {
    let table = try CSVTable(text: "a,b\n1,x\n", file: "t.csv")
    #expect(throws: UsageError("t.csv: no column c; there are a, b")) { try table.strings("c") }
    #expect(throws: UsageError("t.csv:2: column b: x is not a number")) { try table.numbers("b") }
  }

  @Test(arguments: ["plain", "a,b", "say \"so\"", "two\nlines", ""])
  func writesWhatItReads(field: String) throws {
    let text = CSVTable.line(["k", "v"]) + CSVTable.line([field, "1"])
    #expect(try CSVTable(text: text, file: "t.csv").rows == [[field, "1"]])
  }

  @Test("Unnamed and trailing columns, spaces and a byte-order mark are read")
  func tablesOfOthers() throws {
    let text = "\u{FEFF}, Model Size ,loss (nats),,,\r\n0,1e6,\"3,1\" ,,,\r\n1,2e6,2.9,,x\r\n2,3e6,2.8,\r\n"
    let table = try CSVTable(text: text, file: "t.csv")
    #expect(table.header == ["column 1", "Model Size", "loss (nats)", "column 5"])
    #expect(table.rows == [["0", "1e6", "3,1", ""], ["1", "2e6", "2.9", "x"], ["2", "3e6", "2.8", ""]])
    #expect(table.lines == [2, 3, 4])
    #expect(try CSVTable(text: "a,b,,\n1,2\n3,4,,\n", file: "t.csv").header == ["a", "b"])
    #expect(try CSVTable(text: "a,b\n1,2,,\n", file: "t.csv").rows == [["1", "2"]])
    #expect(throws: UsageError("t.csv:2: 3 fields where the header has 2")) {
      try CSVTable(text: "a,b\n1,2,3\n", file: "t.csv")
    }
  }

  @Test(
    "Another separator is named with the option that reads it",
    arguments: [
      (
        "a;b\n1,5;2,5\n2,5;3\n",
        "';', numbers have decimal commas; --separator semicolon --decimal-comma reads it"
      ),
      ("a;b\n1.5;2\n", "';'; --separator semicolon reads it"),
      ("a\tb c\n1\t2\n", "tab; --separator tab reads it"), ("a|b\n1|2\n", "'|'; --separator pipe reads it"),
      ("a   b\n1   2\n 3 4 \n", "space; --separator space reads it"),
      ("Size, M;loss\n1;2\n", "';'; --separator semicolon reads it"),
    ])
  func otherSeparators(text: String, found: String) throws {
    let line = "t.csv: the fields are separated by \(found)"
    #expect(throws: UsageError(line)) { try CSVTable(text: text, file: "t.csv") }
    let words = found.split(separator: " ").map(String.init)
    let name = try #require(words.firstIndex(of: "--separator").map { words[$0 + 1] })
    let dialect = try CSVDialect(
      separator: name, decimalComma: words.contains("--decimal-comma"), encoding: .utf8)
    let table = try CSVTable(bytes: Array(text.utf8), file: "t.csv", dialect: dialect)
    #expect(table.header.count == 2)
    #expect(try table.numbers(table.header[1]).allSatisfy { $0 != nil })
  }

  @Test("A comma table whose texts hold other signs is read as it stands")
  func commas() throws {
    #expect(try CSVTable(text: "a;b,c\n1;2,3\n", file: "t.csv").header == ["a;b", "c"])
    #expect(try CSVTable(text: "loss|x\n1\n2\n", file: "t.csv").header == ["loss|x"])
    #expect(try CSVTable(text: "Model Size\n1\n2\n", file: "t.csv").header == ["Model Size"])
  }

  @Test("UTF-16 and Windows-1252 are named, and read when asked for")
  func encodings() throws {
    let text = "Größe,t\n1,2\n"
    let wide = try #require(text.data(using: .utf16)), western = try #require(text.data(using: .isoLatin1))
    #expect(throws: UsageError("t.csv: this is UTF-16 text; --encoding utf-16 reads it")) {
      try CSVTable(bytes: Array(wide), file: "t.csv")
    }
    #expect(throws: UsageError("t.csv:1: not UTF-8; --encoding latin1 reads Western European text")) {
      try CSVTable(bytes: Array(western), file: "t.csv")
    }
    for (data, name) in [(wide, CSVDialect.Encoding.utf16), (western, .latin1)] {
      let dialect = try CSVDialect(separator: nil, decimalComma: false, encoding: name)
      #expect(try CSVTable(bytes: Array(data), file: "t.csv", dialect: dialect).header == ["Größe", "t"])
    }
  }

  @Test("Bytes that are no text are not taken for text of another encoding")
  func noText() throws {
    var generator = SplitMix64(seed: 5)
    for length in [40, 400, 4000] {
      // No zero byte and no quote, which have messages of their own, and a line that no encoding makes sense of.
      let random = (0..<length).map { _ in UInt8.random(in: 1...255, using: &generator) }
      let bytes =
        Array("a,b\n".utf8) + random.filter { ![0x22, 0x0A, 0x0D, 0x2C].contains($0) } + [0x2C, 0x31, 0x0A]
      let error = #expect(throws: UsageError.self) { try CSVTable(bytes: bytes, file: "t.csv") }
      #expect(error?.description == "t.csv:2: not UTF-8: this is no text")
    }
    for text in ["name\nMüller\nStraße, klein\n", "°C;µm\n1;2\n"] {
      let western = Array(try #require(text.data(using: .isoLatin1)))
      #expect(CSVDialect.isWindows1252(western))
    }
  }

  @Test(
    "Decimal commas and points between thousands",
    arguments: [
      ("1,5", "1.5"), ("1.234,5", "1234.5"), ("-0,25e-3", "-0.25e-3"), ("1.234.567", "1234567"),
      ("1.5", "1.5"),
      ("a,b", "a,b"), ("1,2,3", "1,2,3"),
    ])
  func decimalCommas(cell: String, expected: String) throws {
    let dialect = try CSVDialect(separator: "semicolon", decimalComma: true, encoding: .utf8)
    let table = try CSVTable(bytes: Array("a;b\n1;\(cell)\n".utf8), file: "t.csv", dialect: dialect)
    #expect(table.rows[0][1] == expected)
  }

  @Test("Separators that no table can have are refused", arguments: ["", "ab", "x", "7", "\"", "-", "é"])
  func separators(_ text: String) {
    #expect(throws: UsageError.self) {
      try CSVDialect(separator: text, decimalComma: false, encoding: .utf8)
    }
  }

  @Test("A cell of half a million characters is quoted in part, and control characters are written out")
  func longCells() throws {
    let long = String(repeating: "x", count: 500_000) + "\u{1B}[2J"
    let table = try CSVTable(text: "a\n\(long)\n", file: "t.csv")
    let error = #expect(throws: UsageError.self) { try table.numbers("a") }
    #expect((error?.description.count ?? 1000) < 200 && error?.description.contains("\u{1B}") == false)
    #expect(error?.description.contains("(500004 characters)") == true)
  }
}
