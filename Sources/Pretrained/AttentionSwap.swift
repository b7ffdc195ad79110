import Models
import RealModule
import Settings
import Tensors

/// How far a trained model's outputs move when its attention is replaced and nothing else.
///
/// Relative errors are ‖swapped − original‖₂/‖original‖₂ over all tokens, or all rows of images. The divergence is
/// KL(p_original ‖ p_swapped) in nats a prediction: of every token, or of the class of every sequence or image; agreement is the share
/// of predictions whose likeliest choice stays.
public struct AttentionSwap: Sendable {
  /// One block.
  public struct Layer: Hashable, Sendable {
    /// The block, from 0.
    public let layer: Int
    /// The variant in it after the swap.
    public let attention: String
    /// Of the attention sublayer's own output, both fed with what the original model feeds it.
    public let attentionError: Double
    /// Of the hidden state after the block, with the swap in all blocks below as well.
    public let stateError: Double
    /// What its weights are like; `nil`: not asked for.
    public let weights: Weights?
    /// The loss of next-token prediction with the swap in this block alone, in nats a token; decoders only.
    public let loss: Double?
  }

  /// The blocks in order.
  public let layers: [Layer]
  /// Of the last hidden state, after the last norm.
  public let finalError: Double
  /// Of the logits; `nil` when the checkpoint cannot predict.
  public let logitsError: Double?
  /// The mean over predictions, in nats.
  public let divergenceMean: Double?
  /// The largest of a prediction, in nats.
  public let divergenceLargest: Double?
  /// In 0 … 1.
  public let agreement: Double?
  /// The mean loss of next-token prediction before and after, in nats a token; decoders only.
  public let losses: (original: Double, swapped: Double)?
  /// The swapped model's hidden states `[layers + 1, batch, length, width]`.
  public let states: Tensor
  /// The swapped model's logits `[batch, length, vocabulary]`, or `[batch, classes]`.
  public let logits: Tensor?

  /// Runs both models on the same tokens or images.
  /// - Parameters:
  ///   - original: the model as it was trained.
  ///   - attention: the attention of the layers in turn, such as `sliding-window(left=63) x3, full`.
  ///   - input: the tokens or images.
  ///   - tellsWeights: whether the weights of every layer are looked at, too.
  /// - Throws: `ConfigurationError`, `SafetensorsError`; what attention throws.
  public init(
    _ original: PretrainedModel, attention: String, on input: ModelInput, tellsWeights: Bool = false
  ) throws {
    let swapped = try original.replacingAttention(attention)
    let before = try original.trace(input), after = try swapped.trace(input)
    let local = try swapped.attentionOutputs(for: before, input)
    let rows = before.final.shape[0], valid = (0..<rows).filter { input.isReal($0) }
    func error(_ a: Tensor, _ b: Tensor) -> Double {
      AttentionSwap.relativeError(of: b, from: a, rows: valid)
    }
    let names = try swapped.model.configuration.layerAttention()
    let context = original.model.context
    let former = try original.model.configuration.layerAttention()
    let head = try original.model.configuration.head(of: input.task)
    let predicts = original.model.configuration.kind == .decoder && head.classes == 0 && input.length > 1
    layers = try before.attentionOutputs.indices.map { layer in
      var alone = former
      alone[layer] = names[layer]
      let line = alone.map(\.description).joined(separator: ", ")
      let logits = predicts ? try original.replacingAttention(line).trace(input).logits : nil
      return Layer(
        layer: layer, attention: names[layer].description,
        attentionError: error(before.attentionOutputs[layer], local.outputs[layer]),
        stateError: error(before.states[layer + 1], after.states[layer + 1]),
        weights: tellsWeights
          ? try Weights(before.passes[layer], local.passes[layer], of: input, in: context) : nil,
        loss: logits.map { PredictionComparison.loss($0, of: input) })
    }
    finalError = error(before.final, after.final)
    let batch = input.batch, length = rows / batch, width = original.model.configuration.width
    states = try Tensor(
      after.states.flatMap { $0.array() }, shape: [after.states.count, batch, length, width])
    guard let p = before.logits, let q = after.logits else {
      (logitsError, divergenceMean, divergenceLargest, agreement, losses, logits) = (
        nil, nil, nil, nil, nil, nil
      )
      return
    }
    let classifies = head.classes > 0
    logits = classifies ? q : q.reshaped([batch, length, q.shape[1]])
    let predicted = classifies ? Array(0..<batch) : valid
    logitsError = AttentionSwap.relativeError(of: q, from: p, rows: predicted)
    let comparison = PredictionComparison(p, q, rows: predicted)
    divergenceMean = comparison.divergenceMean
    divergenceLargest = comparison.divergenceLargest
    agreement = comparison.agreement
    losses =
      predicts ? (PredictionComparison.loss(p, of: input), PredictionComparison.loss(q, of: input)) : nil
  }

  private static func relativeError(of b: Tensor, from a: Tensor, rows: [Int]) -> Double {
    var difference = 0.0, size = 0.0
    for row in rows {
      for (x, y) in zip(a.row(row), b.row(row)) {
        let gap = Double(y) - Double(x)
        difference += gap * gap
        size += Double(x) * Double(x)
      }
    }
    return size == 0 ? (difference == 0 ? 0 : .infinity) : (difference / size).squareRoot()
  }
}

/// Two sets of logits `[rows, vocabulary]`, compared row by row in Double.
struct PredictionComparison {
  private(set) var divergenceMean = 0.0
  private(set) var divergenceLargest = 0.0
  private(set) var agreement = 0.0

  init(_ p: Tensor, _ q: Tensor, rows: [Int]) {
    let vocabulary = p.shape[1]
    var agreed = 0
    for row in rows {
      let (a, b) = (p.row(row), q.row(row))
      let (sumA, bestA) = PredictionComparison.logSumExp(a)
      let (sumB, bestB) = PredictionComparison.logSumExp(b)
      var divergence = 0.0
      for token in 0..<vocabulary {
        let logP = Double(a[token]) - sumA
        divergence += Double.exp(logP) * (logP - (Double(b[token]) - sumB))
      }
      divergenceMean += max(0, divergence) / Double(rows.count)
      divergenceLargest = max(divergenceLargest, divergence)
      agreed += bestA == bestB ? 1 : 0
    }
    agreement = Double(agreed) / Double(rows.count)
  }

  /// The mean of −log p of every next real token, in nats.
  static func loss(_ logits: Tensor, of input: ModelInput) -> Double {
    let tokens = input.tokens, length = input.length
    var sum = 0.0, count = 0.0
    for row in tokens.indices where row % length != length - 1 && input.isReal(row + 1) {
      let values = logits.row(row)
      sum += logSumExp(values).0 - Double(values[Int(tokens[row + 1])])
      count += 1
    }
    return sum / count
  }

  private static func logSumExp(_ values: [Float]) -> (Double, Int) {
    var best = 0
    for index in values.indices where values[index] > values[best] { best = index }
    let top = Double(values[best])
    return (top + Double.log(values.reduce(0.0) { $0 + Double.exp(Double($1) - top) }), best)
  }
}
