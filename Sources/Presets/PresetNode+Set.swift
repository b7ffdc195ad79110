import AttentionCore
import Basics
import Records

extension PresetNode {
  /// Stores a value at a path such as `n`, `input.text`, `lengths.n` or `variants.sliding-window.left`.
  ///
  /// A component names a key of a mapping, or an element of a list: by its position, by its `name`, or by the one
  /// word that it is or begins with (a variant). A path whose first component is no key of the preset is looked for
  /// in its experiments: by an experiment's name, else in all of them; a field that experiments set for
  /// themselves is replaced in each, so that `--set n=64` always has an effect.
  /// - Throws: `UsageError` when a component names nothing.
  mutating func set(_ path: [String], to value: PresetNode, flag: String) throws(UsageError) {
    guard let first = path.first, !path.contains("") else {
      throw UsageError("\(flag): write it as path=value, such as n=1024 or input.text=notes.txt")
    }
    guard var experiments = self["experiments"]?.elements, first != "experiments" else {
      if try assignToPoints(path, value, flag: flag) { return }
      return try assign(path[...], value, flag: flag)
    }
    if let index = experiments.firstIndex(where: { $0["name"]?.text == first }) {
      guard path.count > 1 else {
        throw UsageError("\(flag): \(shown(first)) is an experiment; name one of its fields")
      }
      try experiments[index].assign(path.dropFirst(), value, flag: flag)
    } else {
      var found = false
      for index in experiments.indices where experiments[index][first] != nil {
        try experiments[index].assign(path[...], value, flag: flag)
        found = true
      }
      if !found || self[first] != nil { try assign(path[...], value, flag: flag) }
    }
    try assign(["experiments"], PresetNode(.list(experiments), place: place), flag: flag)
  }

  /// Replaces a dotted path in every point of a training that sets it for itself; `held_out.` before it means the
  /// trainings that are held out.
  /// - Returns: whether there was one.
  private mutating func assignToPoints(
    _ path: [String], _ value: PresetNode, flag: String
  ) throws(UsageError) -> Bool {
    let isHeldOut = path.first == "held_out" && path.count > 1
    let field = isHeldOut ? "held_out" : "points"
    let name = (isHeldOut ? Array(path.dropFirst()) : path).joined(separator: ".")
    guard var points = self[field]?.elements else { return false }
    var found = false
    for index in points.indices where isHeldOut || points[index][name] != nil {
      try points[index].assign([name], value, flag: flag)
      found = true
    }
    try assign([field], PresetNode(.list(points), place: place), flag: flag)
    return found
  }

  private mutating func assign(
    _ path: ArraySlice<String>, _ value: PresetNode, flag: String
  ) throws(UsageError) {
    guard let first = path.first else {
      self = value
      return
    }
    let rest = path.dropFirst()
    switch content {
    case .mapping(var entries):
      if let index = entries.firstIndex(where: { $0.key == first }) {
        try entries[index].value.assign(rest, value, flag: flag)
      } else {
        var child = PresetNode(.mapping([]), place: flag)
        try child.assign(rest, value, flag: flag)
        entries.append(Entry(key: first, place: flag, value: child))
      }
      content = .mapping(entries)
    case .list(var elements):
      guard let index = elements.firstIndex(where: { $0.isNamed(first) }) ?? position(first, in: elements)
      else {
        let names = elements.compactMap(\.listName)
        throw UsageError("\(flag): \(shown(first)) is none of \(choices(names, near: first))")
      }
      let isWholeElement = rest.isEmpty || elements[index]["name"]?.text == first || Int(first) != nil
      try elements[index].assign(isWholeElement ? rest : path, value, flag: flag)
      content = .list(elements)
    case .scalar:
      // `full` grows into `full: {name: value}`, and `gaussian` gives way to `{text: PATH}`.
      var child = PresetNode(.mapping([]), place: flag)
      try child.assign(rest, value, flag: flag)
      content = .mapping([Entry(key: first, place: flag, value: child)])
    }
  }

  private func position(_ word: String, in elements: [PresetNode]) -> Int? {
    Int(word).flatMap { elements.indices.contains($0) ? $0 : nil }
  }

  private var listName: String? { self["name"]?.text ?? text ?? entries?.first?.key }

  private func isNamed(_ word: String) -> Bool { listName == word }
}
