/// Which blocks of the gradients of keys and values every unit has still to clear.
struct PendingBlocks: @unchecked Sendable {
  // Shared like a `Region`: a unit's marks are touched by one worker at a time.
  private let base: UnsafeMutablePointer<UInt8>
  private let blocks: Int

  init(_ plan: BackwardPlan) {
    blocks = plan.units.first?.copies.count ?? 0
    base = .allocate(capacity: max(1, plan.units.count * blocks))
    base.initialize(repeating: 0, count: max(1, plan.units.count * blocks))
  }

  func release() { base.deallocate() }

  func marks(ofUnit index: Int) -> UnsafeMutablePointer<UInt8> { base + index * blocks }

  /// Marks the blocks that a unit clears.
  static func mark(_ unit: BackwardPlan.Unit, in marks: UnsafeMutablePointer<UInt8>) {
    for number in unit.owned { marks[Int(number)] = 1 }
    for (number, copy) in unit.copies.enumerated() where copy >= 0 { marks[number] = 1 }
  }
}
