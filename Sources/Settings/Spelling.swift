/// The one spelling of names that users type: snake_case, in YAML, `--set`, columns and JSON.
///
/// Earlier versions wrote most settings in camelCase. Their presets, rows and checkpoints are read as if they were written today.
public enum Spelling {
  /// A name in today's spelling: `block_size` of `blockSize`. Paths and names of other makes stay as they are: those
  /// that begin with a capital letter.
  public static func today(_ name: String) -> String {
    guard isFormer(name) else { return name }
    var result = "", before: Character = "_"
    for character in name {
      if character.isUppercase {
        // A row of capitals is one word.
        if before.isLowercase || before.isNumber { result.append("_") }
        result += character.lowercased()
      } else {
        result.append(character)
      }
      before = character
    }
    return result
  }

  /// Whether a name is spelt as earlier versions did: it begins with a small letter and has a capital one.
  public static func isFormer(_ name: String) -> Bool {
    let bytes = name.utf8
    guard let first = bytes.first, small.contains(first), hasCapital(name) else { return false }
    return bytes.allSatisfy {
      small.contains($0) || capitals.contains($0) || (0x30...0x39).contains($0)
        || [0x2D, 0x2E, 0x5F].contains($0)
    }
  }

  private static let small: ClosedRange<UInt8> = 0x61...0x7A
  private static let capitals: ClosedRange<UInt8> = 0x41...0x5A

  /// Whether there is one of A to Z.
  private static func hasCapital(_ text: String) -> Bool { text.utf8.contains(where: capitals.contains) }

  /// A name as earlier versions spelt it, so that what they called by it is found: `blockSize` of `block_size`.
  public static func former(_ name: String) -> String {
    guard !alwaysSnake.contains(name) else { return name }
    var result = "", isStart = false
    for character in name {
      if character == "_" {
        isStart = true
      } else {
        result += isStart ? character.uppercased() : String(character)
        isStart = false
      }
    }
    return result
  }

  /// Settings that earlier versions had in today's spelling.
  private static let alwaysSnake: Set = [
    "page_size", "compress_block", "compress_stride", "indexer_heads", "indexer_dim", "indexer_loss",
    "clamp_length",
    "bias_buckets", "bias_distance",
  ]

  /// Words that are values of settings, by their earlier spelling.
  static let words = ["firstAndLast": "first-and-last"]
  private static let formerWords = ["first-and-last": "firstAndLast"]

  /// A value in today's spelling.
  public static func today(value: String) -> String { words[value] ?? value }

  /// A value as earlier versions spelt it.
  public static func former(value: String) -> String { formerWords[value] ?? value }

  /// The names of settings in a line of attention in another spelling: in `lsh(sharedQueryKey=true)` what stands before
  /// the sign of equality. Text in quotes stays.
  public static func line(_ text: String, by spell: (String) -> String = { today($0) }) -> String {
    guard text.utf8.contains(0x3D), text.utf8.contains(0x28) else { return text }
    var result = "", word = ""
    var depth = 0, isName = false
    var quote: Character?
    func flush() {
      result += word
      word = ""
      isName = false
    }
    for character in text {
      if let open = quote {
        if character == open { quote = nil }
      } else if character == "\"" || character == "'" {
        quote = character
      } else if character == "(" {
        depth += 1
      } else if character == ")" {
        depth -= 1
      } else if isName, depth > 0 {
        if character == "=" {
          let blanks = word.reversed().prefix { $0 == " " }.count
          result += spell(String(word.dropLast(blanks))) + String(repeating: " ", count: blanks)
          word = ""
          isName = false
        } else if character.isLetter || character.isNumber || "_- ".contains(character) {
          if word.isEmpty, character == " " { result.append(character) } else { word.append(character) }
          continue
        }
      }
      flush()
      result.append(character)
      if quote == nil, depth > 0, character == "(" || character == "," { isName = true }
    }
    flush()
    return result
  }

  /// The names in `name=value` pairs separated by `;`, as columns and checkpoints hold settings, in today's spelling;
  /// the value of `attention` is a line of attention.
  public static func pairs(_ text: String) -> String {
    guard hasCapital(text) else { return text }
    return text.split(separator: ";", omittingEmptySubsequences: false).map { pair in
      guard let equals = pair.firstIndex(of: "=") else { return String(pair) }
      let name = today(String(pair[..<equals])), value = String(pair[pair.index(after: equals)...])
      return name + "=" + (name == "attention" ? line(value) : today(value: value))
    }.joined(separator: ";")
  }
}
