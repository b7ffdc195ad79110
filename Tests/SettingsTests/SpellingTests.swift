import Testing

@testable import Settings

/// Names as they are shown, and what earlier versions wrote.
@Suite struct SpellingTests {
  @Test(
    "a name has one spelling, however it was written",
    arguments: [
      ("blockSize", "block_size"), ("model.keyHeads", "model.key_heads"), ("block_size", "block_size"),
      ("beta1", "beta1"), ("sliding-window", "sliding-window"), ("fileURLName", "file_urlname"), ("E", "E"),
      ("notes/Mine.txt", "notes/Mine.txt"), ("", ""),
    ])
  func names(written: String, today: String) { #expect(Spelling.today(written) == today) }

  @Test("what was always spelt as today keeps its spelling")
  func former() {
    #expect(Spelling.former("shared_query_key") == "sharedQueryKey")
    #expect(
      ["clamp_length", "left", "indexer_heads"].map { Spelling.former($0) } == [
        "clamp_length", "left", "indexer_heads",
      ])
  }

  @Test(
    "in a line of attention only names of settings change",
    arguments: [
      ("lsh(sharedQueryKey=true, hashes=2) x3, full", "lsh(shared_query_key=true, hashes=2) x3, full"),
      (
        "local-global( globalTokens =2,globalPositions=[3 9])",
        "local-global( global_tokens =2,global_positions=[3 9])"
      ),
      ("myVariant(path=aB, text='(aB=1, cD=2)')", "myVariant(path=aB, text='(aB=1, cD=2)')"),
      ("custom(expression=\"i - j < aB\")", "custom(expression=\"i - j < aB\")"),
      ("(aB", "(aB"), ("full", "full"), ("a(bC=1", "a(b_c=1"), ("x=aB", "x=aB"),
    ])
  func lines(written: String, today: String) { #expect(Spelling.line(written) == today) }

  @Test("pairs of a column: names, lines of attention, and words that have another spelling now")
  func pairs() {
    #expect(
      Spelling.pairs("keyHeads=2;attention=lsh(sharedQueryKey=true);globalBlocks=firstAndLast;path=aB;;x")
        == "key_heads=2;attention=lsh(shared_query_key=true);global_blocks=first-and-last;path=aB;;x")
  }

  @Test("a parameter that is declared in camelCase is shown in snake_case and read in both")
  func declared() throws {
    struct Old: ParameterSet {
      enum Word: String, CaseIterable, Sendable { case first = "first-and-last" }
      var blockSize = 1
      var word = Word.first
      static let parameters: [Parameter<Self>] = [
        .integer("blockSize", \.blockSize, help: ""), .choice("word", \.word, help: ""),
      ]
    }
    #expect(
      Old.parameters.map(\.name) == ["block_size", "word"]
        && Old().summary == "block_size=1;word=first-and-last")
    for name in ["blockSize", "block_size", "block-size"] {
      #expect(try Old(settings: [name: .int(7), "word": .string("firstAndLast")]).blockSize == 7)
    }
    let error = #expect(throws: ConfigurationError.self) { try Old(settings: ["blockSize": .string("x")]) }
    #expect(error?.field == "block_size")
  }
}
