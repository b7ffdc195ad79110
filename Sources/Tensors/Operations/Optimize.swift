import CKernels

extension ExecutionContext {
  /// The constants of one AdamW step.
  public struct AdamWStep: Hashable, Sendable {
    /// The learning rate of this step.
    public var learningRate: Double
    /// Decay of the first moment.
    public var beta1: Double
    /// Decay of the second moment.
    public var beta2: Double
    /// Added to the root of the second moment.
    public var epsilon: Double
    /// The step's number, from 1.
    public var step: Int
    /// The factor on the gradients (clipping).
    public var gradientFactor: Double

    /// Creates the constants.
    public init(
      learningRate: Double, beta1: Double, beta2: Double, epsilon: Double, step: Int,
      gradientFactor: Double = 1
    ) {
      (self.learningRate, self.beta1, self.beta2) = (learningRate, beta1, beta2)
      (self.epsilon, self.step, self.gradientFactor) = (epsilon, step, gradientFactor)
    }
  }

  /// AdamW on a range of flat arrays: `m ← β₁m + (1−β₁)g`, `v ← β₂v + (1−β₂)g²`,
  /// `w ← w − lr·(wd·w + m̂/(√v̂ + ε))` with `m̂ = m/(1−β₁ᵗ)`, `v̂ = v/(1−β₂ᵗ)` (Loshchilov and Hutter, 2019).
  /// - Complexity: O(range).
  public func adamW(
    _ weights: inout Tensor, gradients: Tensor, first: inout Tensor, second: inout Tensor, range: Range<Int>,
    decay: Double, _ step: AdamWStep
  ) {
    precondition(range.upperBound <= weights.count && gradients.count == weights.count, "range \(range)")
    let correction1 = 1 - power(step.beta1, step.step), correction2 = 1 - power(step.beta2, step.step)
    let w = weights.pinnedForWriting()
    let g = gradients.pinned()
    let m = first.pinnedForWriting()
    let v = second.pinnedForWriting()
    slices(range.count, grain: 1 << 14, cost: 8) { part in
      let at = range.lowerBound + part.lowerBound
      attn_adamw(
        isa, w.pointer + at, g.pointer + at, m.pointer + at, v.pointer + at, part.count,
        Float(step.learningRate), Float(step.beta1), Float(step.beta2), Float(step.epsilon),
        Float(decay),
        Float(correction1), Float(correction2), Float(step.gradientFactor))
    }
  }

  /// SGD with momentum on a range: `m ← μm + g + wd·w`, `w ← w − lr·m`. - Complexity: O(range).
  public func sgd(
    _ weights: inout Tensor, gradients: Tensor, momentum buffer: inout Tensor, range: Range<Int>,
    learningRate: Double, momentum: Double, decay: Double, gradientFactor: Double
  ) {
    precondition(range.upperBound <= weights.count && gradients.count == weights.count, "range \(range)")
    let w = weights.pinnedForWriting()
    let g = gradients.pinned()
    let m = buffer.pinnedForWriting()
    slices(range.count, grain: 1 << 14, cost: 4) { part in
      let at = range.lowerBound + part.lowerBound
      attn_sgd(
        isa, w.pointer + at, g.pointer + at, m.pointer + at, part.count, Float(learningRate),
        Float(momentum),
        Float(decay), Float(gradientFactor))
    }
  }

  /// Adds a number to the elements of a range. - Complexity: O(range).
  public func add(_ number: Float, to array: inout Tensor, in range: Range<Int>) {
    precondition(range.upperBound <= array.count, "range \(range) of \(array.count)")
    let view = array.pinnedForWriting()
    for place in range { view[place] += number }
  }

  /// Clamps the elements of a range; NaN stays. - Complexity: O(range).
  public func clamp(_ array: inout Tensor, in range: Range<Int>, to bounds: ClosedRange<Float>) {
    precondition(range.upperBound <= array.count, "range \(range) of \(array.count)")
    let view = array.pinnedForWriting()
    for place in range {
      if view[place] < bounds.lowerBound { view[place] = bounds.lowerBound }
      if view[place] > bounds.upperBound { view[place] = bounds.upperBound }
    }
  }

  private func power(_ base: Double, _ exponent: Int) -> Double {
    var result = 1.0, factor = base, rest = exponent
    while rest > 0 {
      if rest & 1 == 1 { result *= factor }
      factor *= factor
      rest >>= 1
    }
    return result
  }
}
