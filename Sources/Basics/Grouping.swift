extension Sequence {
  /// Elements with equal keys together, in the order in which each key first appears; within a group the order stays.
  ///
  ///     ["bb", "a", "cc"].grouped(by: \.count)   // [(2, ["bb", "cc"]), (1, ["a"])]
  /// - Complexity: O(n).
  public func grouped<Key: Hashable>(
    by key: (Element) throws -> Key
  ) rethrows -> [(key: Key, elements: [Element])] {
    var places: [Key: Int] = [:]
    var groups: [(key: Key, elements: [Element])] = []
    for element in self {
      let name = try key(element)
      if let place = places[name] {
        groups[place].elements.append(element)
      } else {
        places[name] = groups.count
        groups.append((name, [element]))
      }
    }
    return groups
  }
}
