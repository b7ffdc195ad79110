import Basics
import LabTestSupport
import Tasks
import Testing

@testable import LongText

/// The bytes of a text.
func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// A text of some words, drawn.
func drawnText(_ count: Int, seed: UInt64, alphabet: String = "ab C.d!e? fé\n\n \t12_x") -> [UInt8] {
  var random = RandomKey(seed: seed).generator()
  let letters = Array(alphabet)
  var text: [UInt8] = []
  while text.count < count { text += bytes(String(letters[random.integer(below: letters.count)])) }
  return Array(text.prefix(count))
}

@Suite struct SentenceTests {
  @Test("words are runs of letters, digits and bytes from 128 on, in small letters")
  func words() {
    #expect(
      Words.all(in: bytes("The CAT_2, the-cat_2\u{e9}!")) == Words.all(in: bytes("the cat_2 the cat_2\u{e9}"))
    )
    #expect(Words.all(in: bytes("the")) != Words.all(in: bytes("The cat")))
    #expect(Words.all(in: bytes(" .,;- \n")).isEmpty)
    #expect(Words.all(in: bytes("a b c")).count == 3)
  }

  @Test("a sentence ends behind a stop, at an empty line, or after 400 bytes at white space")
  func ends() {
    func cut(_ text: String) -> [String] {
      let all = bytes(text)
      return Sentences.cut(all).map { String(decoding: all[$0], as: UTF8.self) }
    }
    #expect(cut("One. Two?  Three! 3.5 is one.") == ["One. ", "Two?  ", "Three! ", "3.5 is one."])
    #expect(cut("He said \"go.\" She went") == ["He said \"go.\" ", "She went"])
    #expect(cut("A title\n\nA line\nof two") == ["A title\n\n", "A line\nof two"])
    #expect(cut("Wait... what?! No") == ["Wait... ", "what?! ", "No"])
    let long = String(repeating: "word ", count: 100)
    #expect(cut(long).map(\.count) == [400, 100])
    let run = String(repeating: "é", count: 300)
    #expect(cut("a" + run).map(\.utf8.count) == [399, 202], "no character is cut")
    #expect(cut("").isEmpty && cut(".") == ["."] && cut(" ") == [" "])
  }

  @Test(
    "sentences behind each other are the text, none longer than 400 bytes",
    arguments: [1, 2, 399, 400, 401, 5000])
  func whole(count: Int) {
    for seed in 0..<8 {
      for alphabet in ["ab C.d!e? fé\n\n \t12_x", " \n", "é", "."] {
        let text = drawnText(count, seed: UInt64(seed), alphabet: alphabet)
        let ranges = Sentences.cut(text)
        #expect(ranges.flatMap { Array(text[$0]) } == text)
        #expect(ranges.allSatisfy { !$0.isEmpty && $0.count <= Sentences.longest })
      }
    }
  }

  @Test("a stream gives the sentences of every file, whatever the piece they lie in")
  func stream() throws {
    let scratch = try Scratch()
    let texts = [drawnText(200_000, seed: 1), drawnText(65_536, seed: 2), bytes("short")]
    for (number, text) in texts.enumerated() {
      try AtomicFile.write(text, to: scratch("\(number).txt"))
    }
    try AtomicFile.write([0, 1, 2], to: scratch("x.bin"))
    try AtomicFile.write([], to: scratch("y.txt"))
    let stream = try TextStream(scratch.path)
    var found = texts.map { _ in [[UInt8]]() }
    let count = try stream.forEachSentence { sentence in
      #expect(sentence.offset == found[sentence.file].joined().count)
      found[sentence.file].append(sentence.bytes)
    }
    for (text, sentences) in zip(texts, found) {
      var expected = Sentences.cut(text).map { Array(text[$0]) }
      if let last = text.last, !Sentences.isSpace(last) { expected[expected.count - 1].append(10) }
      #expect(sentences == expected)
    }
    #expect(count.files == 3 && count.passedOver == 2 && count.bytes == texts.joined().count)
    #expect(count.mostHeld <= TextStream.mostHeld)
  }

  @Test("what is no text is one line")
  func refusals() throws {
    let scratch = try Scratch()
    try AtomicFile.write([1, 0, 2], to: scratch("binary"))
    for (path, words) in [
      ("nowhere", "no such file or folder"), (scratch("binary"), "a binary file"), ("/dev/zero", "a device"),
    ] {
      #expect {
        try TextStream(path).forEachSentence { _ in }
      } throws: {
        "\($0)".contains(words) && !"\($0)".contains("\n")
      }
    }
  }

  @Test("passages are whole sentences of one file as far as they fit")
  func passages() {
    let text = bytes("One two. Three four. Five.\n\nA sentence that is longer than a passage is. End.")
    let passages = Passages.cut(text, most: 20)
    #expect(passages.flatMap(\.bytes) == text)
    #expect(passages.allSatisfy { $0.bytes.count <= 20 })
    #expect(String(decoding: passages[0].bytes, as: UTF8.self) == "One two. ")
    for passage in passages {
      #expect(Array(text[passage.offset...].prefix(passage.bytes.count)) == passage.bytes)
    }
  }
}
