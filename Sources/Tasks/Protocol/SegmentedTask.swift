/// A task whose texts can be read in order, segment after segment, each of which continues the one before: what a memory of
/// earlier segments is for.
public protocol SegmentedTask: SequenceTask {
  /// The next segments of some streams, which begin at places spread over a split and read it in order.
  ///
  /// They are a pure function of the arguments, as batches are.
  /// - Parameters:
  ///   - split: what is read.
  ///   - number: segments that every stream has read before.
  ///   - streams: which of them, one a row.
  ///   - count: streams in all.
  ///   - shift: moves the places where streams begin, so that seeds read differently; 0: as evaluations do.
  /// - Throws: `ConfigurationError` when the split has no segment.
  func segments(of split: Split, number: Int, streams: Range<Int>, of count: Int, shift: Int) throws
    -> SegmentBatch
}

/// Segments of texts, one a row.
public struct SegmentBatch: Hashable, Sendable {
  /// The rows.
  public let batch: TaskBatch
  /// Which rows begin a text: what their streams have read before is not of it.
  public let begins: [Bool]

  /// Puts segments under each other.
  init(_ segments: [(example: Example, begins: Bool)], of task: some SequenceTask) {
    batch = TaskBatch(segments.map(\.example), of: task)
    begins = segments.map(\.begins)
  }
}

extension SequenceTask {
  /// The task, where its texts can be read in order.
  public var texts: (any SegmentedTask)? { self as? any SegmentedTask }
}

extension TaskCatalog {
  /// Tasks whose texts can be read in order.
  public var idsOfTexts: [String] {
    types.filter { $0 is any SegmentedTask.Type }.map { $0.card.id }
  }
}
