import Basics

/// Makes broken inputs out of whole ones: the same seed gives the same ones, and a failing test prints the seed.
public struct Mutator {
  private var random: RandomGenerator

  /// Creates a mutator.
  public init(seed: UInt64) { self.init(key: RandomKey(seed: seed)) }

  /// Creates a mutator of inputs that a key names.
  public init(key: RandomKey) { random = key("mutate").generator() }

  /// Numbers and values at the edge of what a type holds, and what is no number: as JSON, Python and YAML write them.
  public static let extremes = [
    "-9223372036854775808", "-1", "0", "1", "2147483648", "9007199254740992", "9223372036854775807",
    "18446744073709551616", "1e19", "1e308", "nan", "\"\"", "null", "[]", "{}",
  ]

  /// Characters that mean something to one of the grammars.
  private static let marks = Array("[]{}(),:'\"&*-?#!|>%@`\n\t \\=xX0".utf8)

  /// One to four changes: bits and bytes, pieces doubled, moved or cut out, numbers made extreme.
  public mutating func mutate(_ input: [UInt8]) -> [UInt8] {
    var bytes = input
    for _ in 0...random.integer(below: 4) { change(&bytes) }
    return bytes
  }

  private mutating func change(_ bytes: inout [UInt8]) {
    guard !bytes.isEmpty else { return bytes.append(UInt8(random.integer(below: 256))) }
    let place = random.integer(below: bytes.count)
    let length = 1 + random.integer(below: min(16, bytes.count - place))
    switch random.integer(below: 8) {
    case 0: bytes[place] ^= 1 << UInt8(random.integer(below: 8))
    case 1: bytes[place] = UInt8(random.integer(below: 256))
    case 2: bytes.insert(contentsOf: bytes[place..<place + length], at: random.integer(below: bytes.count))
    case 3: bytes.removeSubrange(place..<place + length)
    case 4: bytes.removeSubrange(place...)
    case 5: bytes[place] = Mutator.marks[random.integer(below: Mutator.marks.count)]
    default: replaceNumber(in: &bytes, from: place)
    }
  }

  /// The first number behind a place becomes an extreme one.
  private mutating func replaceNumber(in bytes: inout [UInt8], from place: Int) {
    func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    guard let start = bytes[place...].firstIndex(where: isDigit) else { return }
    let end = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.count
    let extreme = Mutator.extremes[random.integer(below: Mutator.extremes.count)]
    bytes.replaceSubrange(start..<end, with: Array(extreme.utf8))
  }

  /// The text with each of its numbers set to each extreme, one at a time: `name`, the extreme, and the text.
  public static func everyNumberExtreme(in text: String) -> [(extreme: String, text: String)] {
    var ranges: [Range<String.Index>] = []
    var place = text.startIndex
    while let start = text[place...].firstIndex(where: { $0.isASCII && $0.isNumber }) {
      let end = text[start...].firstIndex { !($0.isASCII && ($0.isNumber || $0 == ".")) } ?? text.endIndex
      ranges.append(start..<end)
      place = end
    }
    return ranges.flatMap { range in
      extremes.map { ($0, text.replacingCharacters(in: range, with: $0)) }
    }
  }
}

extension String {
  fileprivate func replacingCharacters(in range: Range<Index>, with text: String) -> String {
    var result = self
    result.replaceSubrange(range, with: text)
    return result
  }
}
