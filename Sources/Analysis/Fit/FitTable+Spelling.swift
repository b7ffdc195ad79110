import Processes
import Settings

extension FitTable {
  /// A text of an option with names of settings in today's spelling: `block_size` for `blockSize`, where the table has
  /// the one column and not the other. What stands in quotes is compared with cells, which have today's spelling, too.
  func today(_ text: String) -> String {
    guard text.contains(where: \.isUppercase) else { return text }
    var result = "", word = "", quoted = ""
    var quote: Character?
    var changed: [(written: String, today: String)] = []
    func flush() {
      let name = Spelling.today(word)
      let isOld = name != word && !names.contains(word) && names.contains(name)
      if isOld { changed.append((word, name)) }
      result += isOld ? name : word
      word = ""
    }
    for character in text {
      if let open = quote {
        guard character == open else {
          quoted.append(character)
          continue
        }
        result += Spelling.pairs(Spelling.line(quoted)) + String(character)
        (quote, quoted) = (nil, "")
      } else if character == "\"" || character == "'" {
        flush()
        quote = character
        result.append(character)
      } else if character.isLetter || character.isNumber || character == "_" {
        word.append(character)
      } else {
        flush()
        result.append(character)
      }
    }
    flush()
    SpellingNote.say(changed)
    return result + quoted
  }
}
