import Basics
import Testing

@Suite("Text that fits the screen")
struct FoldedTextTests {
  @Test(
    "Lines are folded at blanks, go on two columns further in, and a path stays whole",
    arguments: [
      ("one two three", 9, "one two\n  three"), ("short", 9, "short"), ("", 9, ""),
      ("    one two three", 12, "    one two\n      three"),
      ("report: /a/long/path/to/report.html", 20, "report:\n  /a/long/path/to/report.html"),
      ("a /a/long/path/to/it b", 9, "a\n  /a/long/path/to/it\n  b"),
      ("one\ntwo", 9, "one\ntwo"), ("[a] [--b <c>] d", 12, "[a]\n  [--b <c>]\n  d"),
      ("ab [c d e] f", 9, "ab\n  [c d e]\n  f"),
    ])
  func folds(text: String, width: Int, expected: String) {
    #expect(folded(text, width: width) == expected)
  }

  @Test("A command is folded so that the shell reads one line; a flag stays with its value")
  func commands() {
    let command = "attnlab run quickstart --set 'n=[256, 1024]' --out results/mine"
    let lines = folded("  " + command, width: 40).split(separator: "\n")
    #expect(lines.allSatisfy { $0.count <= 40 })
    #expect(lines.dropLast().allSatisfy { $0.hasSuffix(" \\") })
    #expect(lines.contains { $0.contains("--set 'n=[256, 1024]'") })
    let joined = lines.map { $0.replacing("\\", with: "").split(separator: " ").joined(separator: " ") }
    #expect(joined.joined(separator: " ") == command)
  }

  @Test("Names stand in a column of their own")
  func names() {
    #expect(namedLines([("a", "one two three"), ("bc", "x")], width: 12) == "a   one two\n    three\nbc  x")
  }

  @Test("A number has its noun", arguments: [(0, "0 rows"), (1, "1 row"), (2, "2 rows")])
  func nouns(count: Int, expected: String) {
    #expect(counted(count, "row") == expected)
  }

  @Test("Another plural is said")
  func plurals() {
    #expect(counted(3, "query", plural: "queries") == "3 queries")
    #expect(counted(1, "query", plural: "queries") == "1 query")
  }
}
