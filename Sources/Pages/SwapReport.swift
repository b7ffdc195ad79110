import Basics
import Models
import Pretrained

/// What `attnlab swap` says.
package struct SwapReport {
  private let swap: AttentionSwap
  private let pretrained: PretrainedModel
  private let checkpoint: String
  private let input: ModelInput
  private let tokens: String

  /// Creates a report.
  /// - Parameters:
  ///   - swap: both models' outputs.
  ///   - pretrained: the model as it was read.
  ///   - checkpoint: where it was read.
  ///   - input: the tokens.
  ///   - tokens: where the tokens came from.
  package init(
    swap: AttentionSwap, pretrained: PretrainedModel, checkpoint: String, input: ModelInput, tokens: String
  ) {
    (self.swap, self.pretrained, self.checkpoint, self.input, self.tokens) = (
      swap, pretrained, checkpoint, input, tokens
    )
  }

  /// What was read.
  private var size: String {
    guard let grid = input.grid else { return "\(input.batch) × \(input.length) tokens" }
    return counted(input.batch, "image") + " of \(grid) pixels"
  }
  /// One of `predicted`.
  private var one: String { predicted == "images" ? "an image" : "a " + predicted.dropLast() }
  /// What predictions are of.
  private var predicted: String {
    let head = try? pretrained.model.configuration.head(of: input.task)
    guard let head, head.classes > 0 else { return "tokens" }
    return input.grid == nil ? "sequences" : "images"
  }

  /// For programs: errors are relative, divergences in nats a prediction, shares in 0 … 1; what does not apply is null.
  package var json: JSONValue {
    .object([
      "checkpoint": .string(checkpoint), "family": .string(pretrained.family), "tokens": .string(tokens),
      "batch": .int(input.batch), "length": .int(input.length),
      "parameters": .int(pretrained.model.parameterCount),
      "unused": .array(pretrained.unused.map { .string($0) }),
      "layers": .array(
        swap.layers.map {
          .object([
            "layer": .int($0.layer), "attention": .string($0.attention),
            "attention_error": .double($0.attentionError), "state_error": .double($0.stateError),
            "loss_change": change($0.loss),
            "largest_score": .number($0.weights?.largestScore), "entropy": .number($0.weights?.entropy),
            "entropy_swapped": .number($0.weights?.entropySwapped),
            "kept_mass": .number($0.weights?.keptMass),
          ])
        }),
      "final_error": .double(swap.finalError), "logits_error": .number(swap.logitsError),
      "kl_mean": .number(swap.divergenceMean), "kl_largest": .number(swap.divergenceLargest),
      "top1_agreement": .number(swap.agreement), "loss_original": .number(swap.losses?.original),
      "loss_swapped": .number(swap.losses?.swapped), "loss_change": change(swap.losses?.swapped),
    ])
  }

  /// By how much a loss is above that of the model as it was trained.
  private func change(_ loss: Double?) -> JSONValue {
    .number(loss.flatMap { loss in swap.losses.map { loss - $0.original } })
  }

  /// For people.
  package var text: String {
    func number(_ value: Double) -> String { Quantity.significant(value, 3) }
    func signed(_ loss: Double?) -> [String] {
      guard let losses = swap.losses, let loss else { return [] }
      let change = loss - losses.original
      return [(change < 0 ? "−" : "+") + number(abs(change))]
    }
    let hasLoss = swap.losses != nil
    var table = TextTable(
      ["block", "attention", "own error", "error after the block"]
        + (hasLoss ? ["Δ loss, this block alone"] : []))
    for layer in swap.layers {
      table.add(
        ["\(layer.layer)", layer.attention, number(layer.attentionError), number(layer.stateError)]
          + signed(layer.loss))
    }
    if hasLoss { table.add(["all", "", "", number(swap.finalError)] + signed(swap.losses?.swapped)) }
    var lines = [
      "\(checkpoint): \(pretrained.family), \(pretrained.model.parameterCount) parameters; "
        + "\(size) (\(tokens))",
      "", table.text, "",
    ]
    if let weights { lines += [weights, ""] }
    lines += [
      "final hidden state: relative error \(number(swap.finalError))"
    ]
    if let error = swap.logitsError, let mean = swap.divergenceMean, let largest = swap.divergenceLargest,
      let agreement = swap.agreement
    {
      lines.append(
        "predictions: logits' relative error \(number(error)), divergence \(number(mean)) nats \(one) "
          + "(largest \(number(largest))), the same first choice for \(number(100 * agreement)) % of \(predicted)"
      )
    } else {
      lines.append("predictions: none, the checkpoint has no head that predicts tokens or classes")
    }
    if let losses = swap.losses {
      lines.append("next-token loss: \(number(losses.original)) nats before, \(number(losses.swapped)) after")
    }
    return lines.joined(separator: "\n")
  }

  /// What weights are like, by block; `nil`: not asked for.
  private var weights: String? {
    guard swap.layers.contains(where: { $0.weights != nil }) else { return nil }
    func number(_ value: Double?) -> String { value.map { Quantity.significant($0, 3) } ?? "–" }
    var table = TextTable(["block", "largest score", "entropy (nats)", "entropy after", "weights kept (%)"])
    for layer in swap.layers {
      table.add([
        "\(layer.layer)", number(layer.weights?.largestScore), number(layer.weights?.entropy),
        number(layer.weights?.entropySwapped), number(layer.weights?.keptMass.map { 100 * $0 }),
      ])
    }
    return table.text
  }
}
