extension Sequence {
  /// Calls a body with the elements side by side in memory: where they lie, or in a copy of a sequence that keeps them otherwise.
  ///
  /// A generic function is not specialised for what another module hands it: a walk over its elements calls the iterator through a
  /// table, some hundred times as slow as a loop over memory. What looks at every byte of a file begins with this.
  /// - Complexity: O(1); O(n) where a copy is needed.
  public func withElements<R>(_ body: (UnsafeBufferPointer<Element>) -> R) -> R {
    withContiguousStorageIfAvailable(body) ?? Array(self).withUnsafeBufferPointer(body)
  }
}
