extension Sequence {
  /// The elements by rising keys; those of equal keys keep their order, which `sorted` does not promise.
  /// - Complexity: O(n log n).
  public func stablySorted<Key: Comparable>(by key: (Element) -> Key) -> [Element] {
    enumerated().map { (key: key($0.element), place: $0.offset, element: $0.element) }
      .sorted { ($0.key, $0.place) < ($1.key, $1.place) }.map(\.element)
  }
}
