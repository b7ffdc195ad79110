import Laboratory
import Testing

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
}
