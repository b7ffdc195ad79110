import Basics
import Testing

@Suite("Tables that fit the screen")
struct TextTableTests {
  private static func table() -> TextTable {
    var table = TextTable(["variant", "time", "fraction of peak", "memory", "error", "what it means"])
    table.add([
      "sliding-window", "1.25 ms", "0.53", "12 MiB", "1.2e-07", "each query sees its neighbours alone",
    ])
    table.add(["full", "12.5 ms", "0.61", "3 MiB", "8.3e-08", "all pairs"])
    return table
  }

  @Test(
    "No line is longer than the width, and every word of every cell is there", arguments: [40, 60, 80, 200])
  func fits(width: Int) {
    let text = Self.table().text(width: width)
    #expect(text.split(separator: "\n").allSatisfy { $0.count <= width })
    #expect(!text.split(separator: "\n").contains { $0.hasSuffix(" ") })
    let words = Set(text.split { $0 == " " || $0.isNewline })
    for word in [
      "1.25", "12.5", "0.53", "8.3e-08", "neighbours", "alone", "fraction", "peak", "pairs", "full",
    ] {
      #expect(words.contains(Substring(word)), "\(word) at \(width)")
    }
  }

  @Test("A table that has room is one line a row")
  func wide() {
    var table = TextTable(["a", "n"])
    table.add(["x", "10"])
    table.add(["yy", "9"])
    #expect(table.text(width: 80) == "a    n\nx   10\nyy   9")
  }

  @Test("Columns without room stand below, behind the first column again")
  func blocks() {
    var table = TextTable(["name"] + (1...6).map { "n = \($0)000" })
    table.add(["full"] + (1...6).map { "\($0).25e+03" })
    #expect(
      table.text(width: 40) == """
        name  n = 1000  n = 2000  n = 3000
        full  1.25e+03  2.25e+03  3.25e+03

        name  n = 4000  n = 5000  n = 6000
        full  4.25e+03  5.25e+03  6.25e+03
        """)
  }

  @Test("Numbers are never cut; a word that is longer than its column is")
  func cuts() {
    var table = TextTable(["cell", "new", "old"])
    table.add(["experiment=one;variant=sliding-window;left=128;right=128;sinks=4", "123456.789", "0.001"])
    let text = table.text(width: 40)
    #expect(text.split(separator: "\n").allSatisfy { $0.count <= 40 })
    #expect(text.contains("123456.789") && text.contains("sinks=4"))
  }

  @Test("Numbers with a unit stand to the right; words that begin with a digit do not, and are wrapped")
  func words() {
    var table = TextTable(["error", "time", "on"])
    table.add(["1e-5", "2.5 seconds", "1×1 heads, 64×64, d 8, causal; left=1000000; portable"])
    table.add(["12e-5", "12 seconds", "1×2 heads, 70×70, d 16, causal; portable"])
    #expect(
      table.text(width: 60) == """
        error         time  on
         1e-5  2.5 seconds  1×1 heads, 64×64, d 8, causal;
                            left=1000000; portable
        12e-5   12 seconds  1×2 heads, 70×70, d 16, causal; portable
        """)
  }

  @Test("A table without rows is its header")
  func empty() { #expect(TextTable(["a", "b"]).text(width: 40) == "a  b") }
}
