import Basics
import Records
import Yams

extension PresetNode {
  /// Reads YAML text: anchors, aliases and merge keys (`<<`) included.
  /// - Parameters:
  ///   - yaml: the text.
  ///   - place: turns a line number into a place.
  /// - Throws: `UsageError` naming the place.
  /// - Complexity: O(text): what aliases repeat is bounded by `mostNodes`.
  public static func parse(_ yaml: String, place: (Int) -> String) throws(UsageError) -> PresetNode? {
    // Some editors begin a file with a mark of its byte order.
    let yaml = yaml.hasPrefix("\u{FEFF}") ? String(yaml.dropFirst()) : yaml
    do {
      try refuseRepeatedKeys(yaml, place: place)
      guard let root = try Parser(yaml: yaml).singleRoot() else { return nil }
      return try withoutActuallyEscaping(place) { place in
        var reader = YAMLReader(place: place, limit: mostNodes(in: yaml))
        return try reader.node(root, line: 1, depth: 0)
      }
    } catch let error as YamlError {
      throw describe(error, yaml: yaml, place: place)
    } catch let error as UsageError {
      throw error
    } catch {
      throw UsageError("\(place(1)): \(shown("\(error)", limit: 160))")
    }
  }

  /// The values that a text may stand for: each costs a byte at least, and aliases may repeat each of them some times.
  private static func mostNodes(in yaml: String) -> Int { 10_000 + 8 * yaml.utf8.count }

  /// The YAML library compares keys by all that is in them. A key that is a list of aliases of lists of aliases is short
  /// to write and takes for ever to compare; presets have no such keys, so a text with many aliases and a key that may
  /// be one is refused before it is parsed.
  private static func refuseRepeatedKeys(_ yaml: String, place: (Int) -> String) throws(UsageError) {
    let aliases = yaml.matches(of: /(?:^|[\s\[\{,:\-?])\*[A-Za-z0-9_\-]/).count
    guard aliases > 24 else { return }
    let complexKey = /(?:^|\n)[\s\-?:]*\?\s|[\[\{,]\s*\?\s|[\]\}]\s*:|\*[A-Za-z0-9_\-]+\s*:/
    guard let key = yaml.firstMatch(of: complexKey) else { return }
    let line = 1 + yaml[..<key.range.lowerBound].count { $0.isNewline }
    throw UsageError(
      "\(place(line)): a key must be a word; one that is a list, a mapping or an alias is not read")
  }

  private static func describe(_ error: YamlError, yaml: String, place: (Int) -> String) -> UsageError {
    switch error {
    case .duplicatedKeysInMapping(let keys, let context):
      return UsageError(
        "\(place(context.mark.line)): key \(shown(list: keys.sorted())) appears twice")
    case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      let lines = yaml.split(separator: "\n", omittingEmptySubsequences: false)
      if mark.line >= 1, mark.line <= lines.count,
        lines[mark.line - 1].prefix(while: \.isWhitespace).contains("\t")
      {
        return UsageError("\(place(mark.line)): a tab indents this line; YAML is indented with spaces")
      }
      let detail = [problem, context?.text].compactMap(\.self).joined(separator: " ")
      return UsageError("\(place(mark.line)): not valid YAML: \(shown(detail, limit: 160))")
    case .reader(let problem, _, _, _):
      return UsageError("\(place(1)): not valid YAML: \(shown(problem, limit: 160))")
    default:
      return UsageError("\(place(1)): not valid YAML: \(shown("\(error)", limit: 160))")
    }
  }
}

/// Turns the YAML library's tree into one of ours, and counts what it makes: an alias repeats all that its anchor holds,
/// so nine lines can stand for 10⁹ values.
private struct YAMLReader {
  let place: (Int) -> String
  let limit: Int
  private var made = 0

  init(place: @escaping (Int) -> String, limit: Int) {
    self.place = place
    self.limit = limit
  }

  /// No preset is nested so deeply.
  private static let mostLevels = 64

  mutating func node(_ node: Node, line: Int, depth: Int) throws(UsageError) -> PresetNode {
    let line = node.mark?.line ?? line
    made += 1
    guard made <= limit else {
      throw UsageError("\(place(line)): the aliases repeat more than \(limit) values; write fewer of them")
    }
    guard depth < Self.mostLevels else {
      throw UsageError("\(place(line)): more than \(Self.mostLevels) levels of lists and mappings")
    }
    switch node {
    case .scalar(let scalar):
      let isQuoted = scalar.style != .plain && scalar.style != .any
      return PresetNode(.scalar(scalar.string, isQuoted: isQuoted), place: place(line))
    case .sequence(let sequence):
      var elements: [PresetNode] = []
      for element in sequence { elements.append(try self.node(element, line: line, depth: depth + 1)) }
      return PresetNode(.list(elements), place: place(line))
    case .mapping(let mapping):
      return PresetNode(.mapping(try entries(mapping, line: line, depth: depth + 1)), place: place(line))
    case .alias:
      throw UsageError("\(place(line)): an alias without its anchor")
    }
  }

  /// The entries in their order; those of merged mappings stand behind, where the mapping does not set them itself.
  private mutating func entries(
    _ mapping: Node.Mapping, line: Int, depth: Int
  ) throws(UsageError) -> [PresetNode.Entry] {
    var own: [PresetNode.Entry] = []
    var merged: [PresetNode.Entry] = []
    var names: Set<String> = []
    for (key, value) in mapping {
      let keyLine = key.mark?.line ?? line
      guard case .scalar(let word) = key else { throw UsageError("\(place(keyLine)): a key must be a word") }
      let node = try node(value, line: keyLine, depth: depth)
      if word.string == "<<", word.style == .plain || word.style == .any {
        merged += try merging(node, at: place(keyLine))
        continue
      }
      guard names.insert(word.string).inserted else {
        throw UsageError("\(place(keyLine)): key \(shown(word.string)) appears twice")
      }
      own.append(PresetNode.Entry(key: word.string, place: place(keyLine), value: node))
    }
    // Of several merged mappings the first that has a key sets it.
    return own + merged.filter { names.insert($0.key).inserted }
  }

  /// The entries that `<<` brings in: of a mapping, or of a list of mappings in turn.
  private func merging(_ node: PresetNode, at place: String) throws(UsageError) -> [PresetNode.Entry] {
    var found: [PresetNode.Entry] = []
    for source in node.alternatives {
      guard let entries = source.entries else {
        throw UsageError(
          "\(place): <<: \(source.summary) is not allowed; it takes a mapping, or a list of them")
      }
      found += entries
    }
    return found
  }
}
