/// Elements that stay where they are, reached by pointer for as long as this, or a copy of it, lives: the one way from a
/// tensor to a kernel.
///
/// A view holds its elements alive, so what works on several tensors pins them one by one and needs no closure for each. One
/// for writing is made of a tensor that nobody else holds, or of a copy of its storage; as long as it lives the tensor is
/// written through it alone, for a write by another way would find the storage held and make a copy.
///
/// `@unchecked Sendable`: a parallel loop may share a view, since its iterations only read, or write disjoint elements.
public struct PinnedView<Element>: @unchecked Sendable {
  private let owner: AnyObject
  /// The first element.
  public let pointer: UnsafeMutablePointer<Element>

  init(_ pointer: UnsafeMutablePointer<Element>, in owner: AnyObject) {
    self.owner = owner
    self.pointer = pointer
  }

  /// The same from the element that stands `count` behind the first.
  public func advanced(by count: Int) -> PinnedView { PinnedView(pointer + count, in: owner) }

  /// The element that stands `index` behind the first.
  @inlinable public subscript(index: Int) -> Element {
    get { pointer[index] }
    nonmutating set { pointer[index] = newValue }
  }

  /// Where the element that stands `count` behind the first lies.
  @inlinable public static func + (view: PinnedView, count: Int) -> UnsafeMutablePointer<Element> {
    view.pointer + count
  }
}

extension PinnedView where Element: BitwiseCopyable {
  /// New elements, all the same: tables and marks of one pass, counted in its ledger.
  /// - Parameters:
  ///   - value: what each of them is.
  ///   - count: how many there are.
  ///   - ledger: what counts their bytes as long as a view of them lives; `nil` where nobody counts.
  /// - Throws: `MemoryLimitExceeded`.
  public init(repeating value: Element, count: Int, in ledger: MemoryLedger?) throws(MemoryLimitExceeded) {
    let block = try PinnedBlock<Element>(count: count, in: ledger)
    block.base.initialize(repeating: value, count: count)
    self.init(block.base, in: block)
  }

  /// New elements: a copy of an array, counted in a ledger.
  /// - Parameters:
  ///   - values: what is copied.
  ///   - ledger: what counts their bytes as long as a view of them lives; `nil` where nobody counts.
  /// - Throws: `MemoryLimitExceeded`.
  public init(_ values: [Element], in ledger: MemoryLedger?) throws(MemoryLimitExceeded) {
    let block = try PinnedBlock<Element>(count: values.count, in: ledger)
    for (index, value) in values.enumerated() { (block.base + index).initialize(to: value) }
    self.init(block.base, in: block)
  }

  /// The same bytes as elements of another type that is as large.
  public func viewed<Other: BitwiseCopyable>(as type: Other.Type) -> PinnedView<Other> {
    precondition(MemoryLayout<Other>.stride == MemoryLayout<Element>.stride, "\(Other.self) is not as large")
    return PinnedView<Other>(UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: Other.self), in: owner)
  }

  /// The first `count` elements.
  public func array(count: Int) -> [Element] { Array(UnsafeBufferPointer(start: pointer, count: count)) }
}

/// Room for elements that no tensor holds.
private final class PinnedBlock<Element: BitwiseCopyable> {
  let base: UnsafeMutablePointer<Element>
  private let bytes: CountedBytes

  init(count: Int, in ledger: MemoryLedger?) throws(MemoryLimitExceeded) {
    bytes = try CountedBytes(count * MemoryLayout<Element>.stride, in: ledger)
    base = .allocate(capacity: max(1, count))
  }

  deinit { base.deallocate() }
}

extension Tensor {
  /// The elements, to be read; strides apply.
  /// - Precondition: float32.
  public func pinned() -> PinnedView<Float> { PinnedView(storage.base + offset, in: storage) }

  /// The elements, to be written; strides apply. Copies the storage first when it is shared.
  /// - Precondition: float32.
  public mutating func pinnedForWriting() -> PinnedView<Float> {
    makeUnique()
    return pinned()
  }

  /// The bit patterns of a bfloat16 tensor, to be read; strides apply.
  /// - Precondition: bfloat16.
  public func pinnedPatterns() -> PinnedView<UInt16> { PinnedView(storage.patterns + offset, in: storage) }

  /// The elements as bytes, whatever the precision; strides, in elements, apply.
  public func pinnedBytes() -> PinnedView<UInt8> {
    PinnedView(
      storage.raw.assumingMemoryBound(to: UInt8.self) + offset * precision.byteCount, in: storage)
  }
}
