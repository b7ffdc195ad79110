import AttentionCore
import Basics
import CKernels
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What the gates of a recurrence make of data: what the state fades by, and how strongly a token is written.
///
/// With z = ±(x + b_h) and s = softplus(z): `log a = −r·s`. Both are made on the vector kernels; of channels the factor e^{log a}
/// itself is kept.
/// - Complexity: O(heads · keys), times d with channels.
struct ScanGates: Sendable {
  let shape: AttentionShape
  let gate: Recurrence.Gate

  /// What a scan reads, or the gradients of it: those of log decays in either case.
  struct Values: Sendable {
    /// Log decays `[heads, keys]`; with channels what they fade by, `[heads, keys, headDim]`.
    var decays: Tensor
    /// How strongly tokens are written, `[heads, keys]`; `nil`: by 1.
    var strengths: Tensor?
  }

  /// Numbers of a token.
  var channels: Int { gate.isByChannel ? shape.headDim : 1 }

  /// Decays and strengths; of keys behind the end of a sequence nothing is read, and nothing written.
  /// - Throws: `MemoryLimitExceeded`.
  func values(_ inputs: Operands, in context: ExecutionContext) throws -> Values {
    let heads = shape.batch * shape.keyHeads, keys = shape.keyLength, channels = channels
    var decays = try context.empty(gate.isByChannel ? [heads, keys, channels] : [heads, keys])
    var strengths = gate.strength == .one ? nil : try context.empty([heads, keys])
    let (decayView, strengthView) = (decays.pinnedForWriting(), strengths?.pinnedForWriting())
    let (rows, biases) = read(inputs), writing = writing(inputs), isa = context.instructionSet.code
    let isByChannel = gate.isByChannel, sign: Float = gate.isNegated ? -1 : 1, rates = rates(inputs)
    ScanLoop.forEach(count: heads, threads: context.threads) { index, _ in
      let batch = index / shape.keyHeads, head = index % shape.keyHeads
      let valid = shape.validKeys(batch: batch), start = index * keys
      guard valid > 0 else { return }
      if isByChannel {
        biases.withUnsafeBufferPointer { biases in
          guard let bias = biases.baseAddress else { return }
          attn_scan_gate(
            isa, rows.row(batch, head, 0), rows.rowStride, bias + head * channels, sign, Float(rates[head]),
            decayView + start * channels, valid, channels)
        }
      }
      if !isByChannel {
        attn_scan_step_gate(
          isa, rows.row(batch, head, 0), rows.rowStride, biases[head], sign, Self.narrowed(rates[head]),
          decayView + start, writing == nil ? strengthView.map { $0 + start } : nil, valid)
      }
      if let writing, let strengthView {
        attn_scan_sigmoid(
          isa, writing.row(batch, head, 0), writing.rowStride, strengthView + start, valid)
      }
    }
    return Values(decays: decays, strengths: strengths)
  }

  /// Adds the gradients of the gates' operands to those of q, k and v.
  /// - Parameters:
  ///   - gradient: that of the log decays and strengths.
  ///   - inputs: what was read.
  ///   - result: takes the gradients.
  ///   - context: threads and ledger.
  /// - Throws: `MemoryLimitExceeded`.
  func addGradient(
    _ gradient: Values, _ inputs: Operands, to result: inout Operands, in context: ExecutionContext
  ) throws {
    let heads = shape.keyHeads, keys = shape.keyLength
    if case .sigmoid(let name) = gate.strength, let strengths = gradient.strengths?.pinned(),
      let writing = writing(inputs)
    {
      var dWriting = try context.zeros([shape.batch, heads, keys, 1])
      let target = dWriting.pinnedForWriting()
      ScanLoop.forEach(count: shape.batch * heads, threads: context.threads) { index, _ in
        let (batch, head) = (index / heads, index % heads)
        for key in 0..<shape.validKeys(batch: batch) {
          // 1 − σ in Double, as the definition has it: where σ is nearly 1, single precision would keep other digits.
          let strength = 1 / (1 + exp(-Double(writing.row(batch, head, key)[0])))
          let place = index * keys + key
          target[place] = Float(Double(strengths[place]) * strength * (1 - strength))
        }
      }
      result[name] = dWriting
    }
    if gate.isByChannel { return try addChannelGradient(gradient, inputs, to: &result, in: context) }
    var dx = try context.zeros([shape.batch, heads, keys, 1])
    var dRates = try context.empty([heads]), dBiases = try context.empty([heads])
    let dLogs = gradient.decays.pinned()
    let dSteps = gate.strength == .step ? gradient.strengths?.pinned() : nil
    let (rows, biases) = read(inputs), rates = rates(inputs), sign: Float = gate.isNegated ? -1 : 1
    let isa = context.instructionSet.code
    let target = dx.pinnedForWriting()
    let (rateView, biasView) = (dRates.pinnedForWriting(), dBiases.pinnedForWriting())
    ScanLoop.forEach(count: heads, threads: context.threads) { head, _ in
      var sums = [0.0, 0]
      for batch in 0..<shape.batch {
        let start = (batch * heads + head) * keys, valid = shape.validKeys(batch: batch)
        guard valid > 0 else { continue }
        attn_scan_step_gate_back(
          isa, rows.row(batch, head, 0), rows.rowStride, biases[head], sign, Self.narrowed(rates[head]),
          dLogs + start, dSteps.map { $0 + start }, target + start, valid, &sums)
      }
      (rateView[head], biasView[head]) = (Float(sums[0]), Float(sums[1]))
    }
    (result[gate.input], result[gate.bias]) = (dx, dBiases)
    if case .learned(let name) = gate.rate { result[name] = dRates }
  }

  /// The gradients of x, b and A where channels fade apart; those of keys are summed in Double, in their order.
  private func addChannelGradient(
    _ gradient: Values, _ inputs: Operands, to result: inout Operands, in context: ExecutionContext
  ) throws {
    let heads = shape.keyHeads, keys = shape.keyLength, channels = channels
    var dx = try context.empty([shape.batch, heads, keys, channels])
    var dRates = try context.empty([heads]), dBiases = try context.empty([heads, channels])
    let dLogs = gradient.decays.pinned(), isa = context.instructionSet.code
    let (rows, biases) = read(inputs), rates = rates(inputs), sign: Float = gate.isNegated ? -1 : 1
    let target = dx.pinnedForWriting()
    let (rateView, biasView) = (dRates.pinnedForWriting(), dBiases.pinnedForWriting())
    var isLearned = false
    if case .learned = gate.rate { isLearned = true }
    let hasRate = isLearned
    ScanLoop.forEach(count: heads, threads: context.threads) { head, _ in
      var rateSum = 0.0, biasSums = [Double](repeating: 0, count: channels)
      biases.withUnsafeBufferPointer { biases in
        guard let bias = biases.baseAddress else { return }
        for batch in 0..<shape.batch {
          let start = (batch * heads + head) * keys, valid = shape.validKeys(batch: batch)
          (target + (start + valid) * channels).update(repeating: 0, count: (keys - valid) * channels)
          guard valid > 0 else { continue }
          withUnsafeMutablePointer(to: &rateSum) { rateSum in
            attn_scan_gate_back(
              isa, rows.row(batch, head, 0), rows.rowStride, bias + head * channels, sign, Float(rates[head]),
              dLogs + start * channels, target + start * channels, valid, channels, hasRate ? rateSum : nil,
              &biasSums)
          }
        }
      }
      rateView[head] = Float(rateSum)
      for channel in 0..<channels { biasView[head * channels + channel] = Float(biasSums[channel]) }
    }
    (result[gate.input], result[gate.bias]) = (dx, dBiases)
    if case .learned(let name) = gate.rate { result[name] = dRates }
  }

  private func read(_ inputs: Operands) -> (rows: Rows, biases: [Float]) {
    guard let x = inputs[gate.input], let bias = inputs[gate.bias] else {
      preconditionFailure("a gate reads \(gate.input) and \(gate.bias)")
    }
    return (x.rows(), bias.array())
  }

  /// What steps are multiplied by, one a head.
  private func rates(_ inputs: Operands) -> [Double] {
    switch gate.rate {
    case .fixed(let rate): return [Double](repeating: rate, count: shape.keyHeads)
    case .learned(let name):
      guard let rates = inputs[name] else { preconditionFailure("a gate reads \(name)") }
      return rates.array().map { exp(Double($0)) }
    }
  }

  private func writing(_ inputs: Operands) -> Rows? {
    guard case .sigmoid(let name) = gate.strength else { return nil }
    return inputs[name]?.rows()
  }

  /// As near as single precision comes.
  private static func narrowed(_ rate: Double) -> Float {
    Float(min(rate, Double(Float.greatestFiniteMagnitude)))
  }
}
