import AttentionCore
import Tensors

/// Pieces of other ranks' keys and values, one after the other: the next one comes, and the next own one goes, while a piece is
/// worked with.
struct KeyStream {
  /// Keys of another rank.
  struct Piece {
    /// Which of the plan's sources they are of.
    var source: Int
    /// Their places in its rows.
    var places: RowRuns
    var keys: RankPass.HeldKeys
  }

  private let pass: RankPass
  private let slots: [RankPlan.Slot]
  private var reached = 0
  private var incoming: (any PendingReceive)?
  /// The sends of this slot and of the one before it.
  private var outgoing: [any PendingSend] = []

  /// Begins the first slot.
  init(_ pass: RankPass) throws {
    self.pass = pass
    slots = pass.plan.slots
    try begin(0)
  }

  /// Posts the receive and the send of a slot.
  private mutating func begin(_ index: Int) throws {
    incoming = nil
    guard index < slots.count else { return }
    let slot = slots[index], plan = pass.plan, shape = plan.shape
    if let places = slot.incoming {
      let elements = pass.keyExtents(places.count, shape.headDim + shape.valueDim).reduce(1, *)
      incoming = try pass.communicator.receive(
        elements, shape.precision, from: plan.sources[slot.source].rank, tag: .keys, ledger: pass.ledger)
    }
    // At most two messages of its own wait to leave.
    if outgoing.count > 1 { try outgoing.removeFirst().wait() }
    if let places = slot.outgoing {
      let message = try Tensor.packed(
        [pass.inputs.key, pass.inputs.value], rows: places, ledger: pass.ledger)
      outgoing.append(
        try pass.communicator.send(message, to: plan.targets[slot.target].rank, tag: .keys))
    }
  }

  /// The next slot with its piece, if one comes in it; `nil`: there are no more.
  mutating func nextSlot() throws -> (slot: RankPlan.Slot, piece: Piece?)? {
    guard reached < slots.count else {
      for send in outgoing { try send.wait() }
      outgoing = []
      return nil
    }
    let slot = slots[reached], arriving = incoming
    reached += 1
    try begin(reached)
    guard let places = slot.incoming, let arriving else { return (slot, nil) }
    let (plan, shape) = (pass.plan, pass.shape)
    let parts = try arriving.wait().unpacked([
      pass.keyExtents(places.count, shape.headDim), pass.keyExtents(places.count, shape.valueDim),
    ])
    let valid = plan.validKeys(places, of: plan.sources[slot.source].rank)
    let keys = try pass.held(parts[0], parts[1], valid: valid)
    return (slot, Piece(source: slot.source, places: places, keys: keys))
  }

  /// The next piece; `nil`: there are no more.
  mutating func next() throws -> Piece? {
    while let (_, piece) = try nextSlot() {
      if let piece { return piece }
    }
    return nil
  }
}
