import Basics
import Testing

/// What looks at every byte reads memory, whatever sequence it is handed.
@Suite struct FingerprintTests {
  /// Bytes in memory that may not be walked one by one.
  private struct Unwalked<Element: Sendable>: Sequence {
    let elements: [Element]

    func makeIterator() -> IndexingIterator<[Element]> {
      Issue.record("bytes that lie in memory are asked for one by one")
      return elements.makeIterator()
    }

    func withContiguousStorageIfAvailable<R>(_ body: (UnsafeBufferPointer<Element>) throws -> R) rethrows
      -> R?
    {
      try elements.withUnsafeBufferPointer(body)
    }
  }

  @Test(
    "the names of texts",
    arguments: [
      ("", "cbf29ce484222325"), ("a", "af63dc4c8601ec8c"), ("foobar", "85944171f73967e8"),
    ])
  func fingerprints(text: String, name: String) {
    // The published test vectors of FNV-1a.
    #expect(Fingerprint.of(text) == name)
    #expect(Fingerprint.of(Unwalked(elements: Array(text.utf8))) == name)
    #expect(Fingerprint.of(text.utf8.lazy.map { $0 }) == name)
    #expect(Fingerprint.hash(words: text.utf8.map { UInt64($0) }) == Fingerprint.hash(text.utf8))
    #expect(
      Fingerprint.hash(words: Unwalked(elements: text.utf8.map { UInt64($0) })) == Fingerprint.hash(text.utf8)
    )
  }

  @Test("the check of zip and PNG files")
  func checks() {
    let bytes = Array("123456789".utf8)
    #expect(CRC32.of(bytes) == 0xCBF4_3926)
    #expect(CRC32.of(Unwalked(elements: bytes)) == 0xCBF4_3926)
    #expect(CRC32.of(bytes.lazy.map { $0 }) == 0xCBF4_3926)
  }
}
