import RealModule
import Settings

/// How a model is trained, declared once for YAML, `--set`, checkpoints and the CSV.
public struct TrainingConfiguration: ParameterSet {
  /// What turns gradients into steps.
  public enum Optimizer: String, CaseIterable, Hashable, Sendable {
    /// AdamW with decoupled weight decay.
    case adamw
    /// Gradient descent with momentum.
    case sgd
  }
  /// How the learning rate moves after the warm-up.
  public enum Schedule: String, CaseIterable, Hashable, Sendable {
    /// It stays.
    case constant
    /// It is multiplied by `decayFactor` every `decayEvery` steps.
    case step
    /// It decays smoothly by `decayFactor` every `decayEvery` steps.
    case exponential
    /// Half a cosine down to `finalFraction` of it.
    case cosine
    /// `width^−½·min(t^−½, t·warmup^−3/2)` times it (Vaswani et al., 2017).
    case noam
  }

  /// In which order the gradients of a step's rows are summed, which decides the last bits.
  public enum GradientSum: String, CaseIterable, Hashable, Sendable {
    /// The rows of a pass in one product, pass after pass: the fastest on one process.
    case passes
    /// Row by row in a tree over all rows: the same bits whatever the number of ranks.
    case rows
    /// The rows of a pass in one product, of which every rank has a part of each sequence, then over ranks: of one rank as
    /// `passes`, of several the same up to rounding.
    case parts
  }

  /// What turns gradients into steps.
  public var optimizer = Optimizer.adamw
  /// The highest learning rate (a factor for Noam).
  public var learningRate = 1e-3
  /// How the learning rate moves.
  public var schedule = Schedule.cosine
  /// Steps over which it rises from 0.
  public var warmup = 20
  /// Where the cosine ends, as a share of the learning rate.
  public var finalFraction = 0.1
  /// The factor of `step` and `exponential`.
  public var decayFactor = 0.5
  /// Steps between two factors.
  public var decayEvery = 100
  /// Optimiser steps.
  public var steps = 200
  /// Sequences of a pass.
  public var batch = 16
  /// Passes whose gradients make one step.
  public var accumulation = 1
  /// In which order gradients are summed.
  public var gradientSum = GradientSum.passes
  /// Ranks that share a sequence where `gradientSum` is `parts`; the others share other sequences. 0: all share all.
  public var sequenceRanks = 0
  /// Decay of AdamW's first moment.
  public var beta1 = 0.9
  /// Decay of AdamW's second moment.
  public var beta2 = 0.95
  /// AdamW's ε.
  public var adamEpsilon = 1e-8
  /// Weight decay on matrices.
  public var weightDecay = 0.01
  /// SGD's momentum.
  public var momentum = 0.9
  /// The largest norm of the gradients; 0: no limit.
  public var clip = 1.0
  /// ε of label smoothing, in training only.
  public var labelSmoothing = 0.0
  /// Steps between two evaluations; 0: only at the end.
  public var evaluateEvery = 50
  /// Validation batches of an evaluation.
  public var evaluationBatches = 8
  /// Evaluations without a better loss after which training stops; 0: never.
  public var patience = 0
  /// Steps between two checkpoints; 0: only at the end and when interrupted.
  public var checkpointEvery = 0
  /// Whether a batch continues the one before, row by row: texts are read in order. A model with a memory needs it.
  public var consecutive = false
  /// A checkpoint whose weights the model starts from; empty: weights are drawn.
  public var start = ""
  /// What the first steps do otherwise, as `Curriculum` reads it; empty: nothing.
  public var curriculum = ""
  /// The seed of batches and dropout.
  public var seed = 1

  /// The defaults.
  public init() {}

  /// All parameters, in the order in which they are shown.
  public static let parameters: [Parameter<TrainingConfiguration>] = [
    .choice("optimizer", \.optimizer, help: "what turns gradients into steps"),
    .real(
      "learning_rate", \.learningRate, in: 0...1000, help: "the highest learning rate (a factor for noam)"),
    .choice("schedule", \.schedule, help: "how the learning rate moves after the warm-up"),
    .integer("warmup", \.warmup, unit: "steps", help: "steps over which the rate rises from 0"),
    .real(
      "final_fraction", \.finalFraction, in: 0...1, help: "where the cosine ends, as a share of the rate"),
    .real("decay_factor", \.decayFactor, in: 0...1, help: "the factor of step and exponential"),
    .integer("decay_every", \.decayEvery, in: 1...Int.max, unit: "steps", help: "steps between two factors"),
    .integer("steps", \.steps, in: 1...Int.max, unit: "steps", help: "optimiser steps"),
    .integer("batch", \.batch, in: 1...65_536, unit: "sequences", help: "sequences of a pass"),
    .integer("accumulation", \.accumulation, in: 1...65_536, help: "passes whose gradients make one step"),
    .real("beta1", \.beta1, in: 0...0.999999, help: "decay of AdamW's first moment"),
    .real("beta2", \.beta2, in: 0...0.999999, help: "decay of AdamW's second moment"),
    .real("adam_epsilon", \.adamEpsilon, in: 0...1, help: "AdamW's ε"),
    .real("weight_decay", \.weightDecay, in: 0...10, help: "weight decay on matrices"),
    .real("momentum", \.momentum, in: 0...0.9999, help: "SGD's momentum"),
    .real("clip", \.clip, in: 0...1e9, help: "the largest norm of the gradients; 0: no limit"),
    .real("label_smoothing", \.labelSmoothing, in: 0...0.999, help: "ε of label smoothing, in training only"),
    .integer(
      "evaluate_every", \.evaluateEvery, unit: "steps", help: "steps between evaluations; 0: only at the end"),
    .integer(
      "evaluation_batches", \.evaluationBatches, in: 1...100_000, help: "validation batches of an evaluation"),
    .integer("patience", \.patience, help: "evaluations without a better loss before stopping; 0: never"),
    .integer(
      "checkpoint_every", \.checkpointEvery, unit: "steps", help: "steps between checkpoints; 0: at the end"),
    .flag(
      "consecutive", \.consecutive,
      help: "whether a batch continues the one before, row by row; a model with a memory does so in any case"
    ).quiet,
    .integer("seed", \.seed, help: "the seed of batches and dropout"),
    .text(
      "start", \.start, allowed: "a file or folder",
      help:
        "a checkpoint of attnlab train, or a Hugging Face folder, whose weights the model starts from; heads that it lacks are drawn, "
        + "and with pretext frozen the probe is"
    ).quiet,
    .text(
      "curriculum", \.curriculum, allowed: "stage(steps=…, …), …",
      help:
        "what the first steps do otherwise: stage(steps=500, length=64), stage(steps=300, length=256, batch=8); batch and attention are the "
        + "stage's, other settings the task's",
      reading: { line throws(ConfigurationError) in
        _ = try Curriculum(line)
        return line
      }
    ).quiet,
    .choice(
      "gradient_sum", \.gradientSum, quietly: true,
      help:
        "passes: the rows of a pass in one product; rows: row by row, the same bits for any number of ranks; "
        + "parts: ranks share every sequence"),
    .integer(
      "sequence_ranks", \.sequenceRanks, in: 0...4096, unit: "ranks",
      help:
        "ranks that share a sequence, with gradient_sum=parts, while others share others; 0: all share all"
    ).quiet,
  ]

  /// The learning rate of a step, counted from 1.
  ///
  /// With w = warmup and r = learningRate, for t ≤ w: r·t/w; then constant r; step `r·f^⌊(t−w)/k⌋`; exponential
  /// `r·f^((t−w)/k)`; cosine `r·(e + (1−e)·(1 + cos(π(t−w)/(T−w)))/2)`. Noam as above.
  public func learningRate(at step: Int, width: Int) -> Double {
    let t = Double(step), w = Double(warmup)
    if schedule == .noam {
      return learningRate * Double.pow(Double(width), -0.5)
        * min(1 / t.squareRoot(), t * Double.pow(max(w, 1), -1.5))
    }
    if step <= warmup { return learningRate * t / w }
    let after = t - w
    switch schedule {
    case .constant, .noam: return learningRate
    case .step: return learningRate * Double.pow(decayFactor, (after / Double(decayEvery)).rounded(.down))
    case .exponential: return learningRate * Double.pow(decayFactor, after / Double(decayEvery))
    case .cosine:
      let share = min(1, after / max(1, Double(steps) - w))
      return learningRate * (finalFraction + (1 - finalFraction) * (1 + Double.cos(Double.pi * share)) / 2)
    }
  }
}
