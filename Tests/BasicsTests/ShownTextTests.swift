import Basics
import Testing

@Suite("Text of users and files in messages")
struct ShownTextTests {
  @Test(
    "Control and format characters are written out",
    arguments: [
      ("plain – text 😀 👩‍🚀", "plain – text 😀 👩‍🚀"), ("a\u{1B}[2Jb", "a\\u{1B}[2Jb"),
      ("two\nlines\tand\r", "two\\nlines\\tand\\r"),
      ("\u{7F}\u{9B}", "\\u{7F}\\u{009B}"), ("a\u{202E}b", "a\\u{202E}b"), ("a\u{2028}b", "a\\u{2028}b"),
      ("", ""),
    ])
  func control(text: String, expected: String) { #expect(shown(text) == expected) }

  @Test("What is shown is bounded, whatever it is made of", arguments: ["x", "\u{301}", "\u{1B}", "👩‍🚀", "\n"])
  func bounded(unit: String) {
    let text = shown(String(repeating: unit, count: 500_000))
    #expect(text.unicodeScalars.count < 800)
    #expect(text.contains("characters)"))
    #expect(
      shown(list: [String](repeating: String(repeating: unit, count: 1000), count: 1000)).unicodeScalars.count
        < 20_000)
  }

  @Test("A text at the limit is whole, one beyond it is not")
  func limit() {
    #expect(shown("abcdefghij", limit: 10) == "abcdefghij")
    #expect(shown("abcdefghijk", limit: 10) == "abcdefgh…jk (11 characters)")
    #expect(shown(list: ["a", "b", "c"], limit: 2) == "a, b, … (3 in all)")
  }

  @Test("Line breaks may stay")
  func breaks() { #expect(visible("a\nb\u{7}", keepingLineBreaks: true) == "a\nb\\u{07}") }
}
