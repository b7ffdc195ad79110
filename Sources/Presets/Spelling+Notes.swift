import Basics
import Processes
import Records
import Settings

extension Spelling {
  /// A name that a user typed, in today's spelling; an old one is noted.
  public static func noted(_ name: String) -> String {
    let today = today(name)
    if today != name { SpellingNote.say([(name, today)]) }
    return today
  }

  /// A line of attention that a user typed, with names of settings in today's spelling; old ones are noted.
  public static func noted(line text: String) -> String { line(text) { noted($0) } }
}

extension PresetNode {
  /// The tree with names of settings in today's spelling; old ones are noted in one line.
  /// - Parameter kept: keys that are no settings: the variants' ids.
  /// - Throws: `UsageError` for a name that stands there in both spellings.
  public func inTodaysSpelling(keeping kept: Set<String>) throws(UsageError) -> PresetNode {
    var old: [(written: String, today: String)] = []
    let node = try respelled(kept, isAttention: false, &old)
    SpellingNote.say(old)
    return node
  }

  private func respelled(
    _ kept: Set<String>, isAttention: Bool, _ old: inout [(written: String, today: String)]
  ) throws(UsageError) -> PresetNode {
    switch content {
    case .scalar(let text, let isQuoted):
      guard isAttention else { return self }
      let line = Spelling.line(text) { name in
        let today = Spelling.today(name)
        if today != name { old.append((name, today)) }
        return today
      }
      return PresetNode(.scalar(line, isQuoted: isQuoted), place: place)
    case .list(let elements):
      var today: [PresetNode] = []
      for element in elements { today.append(try element.respelled(kept, isAttention: isAttention, &old)) }
      return PresetNode(.list(today), place: place)
    case .mapping(let entries):
      var today: [Entry] = []
      for entry in entries {
        let key = kept.contains(entry.key) ? entry.key : Spelling.today(entry.key)
        if key != entry.key {
          old.append((entry.key, key))
          if let twice = entries.first(where: { $0.key == key }) {
            throw UsageError(
              "\(entry.place): \(shown(entry.key)) is \(shown(key)) in an old spelling, and \(twice.place) has it, too"
            )
          }
        }
        let isLine = key.split(separator: ".").last == "attention"
        let value = try entry.value.respelled(kept, isAttention: isLine, &old)
        today.append(Entry(key: key, place: entry.place, value: value))
      }
      return PresetNode(.mapping(today), place: place)
    }
  }
}
