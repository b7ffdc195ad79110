import Tensors

extension TrainingRow {
  /// The columns of `runs.csv`. New ones are added at the end.
  public static let schema: [Field<TrainingRow>] = question + answer + later + originFields

  private static let question: [Field<TrainingRow>] = [
    .field("run_id", \.runID, .text, .record, "a hash of what is trained").required,
    .field("experiment", \.experiment, .text, .contender, phrase: "%", "the experiment of the preset"),
    .field("task", \.task, .text, .contender, phrase: "%", "the task; see attnlab list").required,
    .field(
      "task_configuration", \.taskConfiguration, .text, .contender, "name=value of the task, separated by ;"),
    .field("attention", \.attention, .text, .contender, phrase: "%", "the attention of the layers in turn")
      .requiredWhenDone,
    .field(
      "model_configuration", \.modelConfiguration, .text, .contender,
      "name=value of the model, separated by ;"
    ).requiredWhenDone,
    .field(
      "training_configuration", \.trainingConfiguration, .text, .contender,
      "name=value of the training, separated by ;"
    ).requiredWhenDone,
    .optional("seed", \.seed, .anyInteger, .contender, "the seed of weights, batches and dropout").required,
    .optional("status", \.status, .choice, .record, "how it ended").required,
    .field("reason", \.reason, .text, .record, "why it ended so when it is not ok, in one line"),
  ]

  private static let answer: [Field<TrainingRow>] = [
    .optional("parameters", \.parameters, .count(from: 1), .quantity, "trainable parameters N")
      .requiredWhenDone,
    .optional(
      "parameters_non_embedding", \.parametersNonEmbedding, .count(), .quantity,
      "those outside the embedding tables"
    ).requiredWhenDone,
    .optional("tokens", \.tokens, .count(), .quantity, unit: "tokens", "training tokens D"),
    .optional(
      "compute_flops", \.computeFlops, .amount, .quantity, unit: "operations",
      "counted training operations C, forward and backward"),
    .optional("steps", \.steps, .count(), .quantity, unit: "steps", "optimiser steps").requiredWhenDone,
    .optional(
      "train_loss", \.trainLoss, .real, .quantity, unit: "nats",
      "loss on the last training batches; of pretext masked, here and below, a mean squared error"),
    .optional("validation_loss", \.validationLoss, .real, .quantity, unit: "nats", "at the last evaluation"),
    .optional("validation_accuracy", \.validationAccuracy, .fraction, .quantity, "at the last evaluation"),
    .optional("test_loss", \.testLoss, .real, .quantity, unit: "nats", "mean loss on the test split"),
    .optional("test_accuracy", \.testAccuracy, .fraction, .quantity, "of the scored test positions"),
    .optional(
      "entropy_rate", \.entropyRate, .real, .quantity, unit: "nats", "of the source, where it is known"),
    .optional("seconds", \.seconds, .duration, .time, unit: "s", "time of the training"),
    .optional(
      "tokens_per_second", \.tokensPerSecond, .amount, .time, unit: "tokens/s",
      "pace of steps without an evaluation"),
    .optional(
      "fraction_of_peak", \.fractionOfPeak, .fractionOfPeak, .time,
      "counted operations a second ÷ the measured multiply-add peak; empty when it exceeds 2, where the peak "
        + "cannot be right"),
    .optional("threads", \.threads, .count(from: 1), .contender, phrase: "% threads", "threads")
      .requiredWhenDone,
    .field(
      "isa", \.isa, .words(InstructionSet.allCases.map(\.rawValue)), .contender, phrase: "%",
      "the instruction set of the kernels"
    ).requiredWhenDone,
    .optional(
      "evaluation", \.evaluation, .choice, .contender, phrase: "%",
      "test: the training's own row; changed: the model under other conditions; auxiliary: on an auxiliary task"
    ).required,
    .field(
      "evaluation_attention", \.evaluationAttention, .text, .contender, phrase: "%",
      "the attention of a changed evaluation"),
    .field(
      "evaluation_task", \.evaluationTask, .text, .contender,
      "the task settings of a changed evaluation, or those of the auxiliary task"),
    .field("started_at", \.startedAt, .text, .record, "when it began, ISO 8601, UTC"),
  ]

  private static let later: [Field<TrainingRow>] =
    [
      .optional(
        "compute_budget", \.computeBudget, .amount, .contender, unit: "operations", phrase: "C %",
        "training operations that were allowed"),
      .optional(
        "attention_bytes", \.attentionBytes, .amount, .quantity, unit: "bytes",
        "closed form of the most demanding layer's attention pass"),
      .optional(
        "test_count", \.testCount, .count(), .contender, unit: "positions", phrase: "% positions",
        "scored test positions"),
      .optional(
        "optimal_loss", \.optimalLoss, .real, .quantity, unit: "nats",
        "what the source's own law scores on the same test examples"),
      .field(
        "held_out", \.isHeldOut, .flag, .contender, phrase: "held out", "whether it is kept out of fits"),
      .optional(
        "predicted_loss", \.predictedLoss, .real, .quantity, unit: "nats",
        "what the others' law said before it was trained"),
      .optional("predicted_low", \.predictedLow, .real, .quantity, unit: "nats", "lower end of its interval"),
      .optional(
        "predicted_high", \.predictedHigh, .real, .quantity, unit: "nats", "upper end of its interval"),
      .field("predicted_by", \.predictedBy, .text, .record, "the law that said so"),
      .optional(
        "evaluation_memory", \.evaluationMemory, .count(), .contender, unit: "tokens", phrase: "memory %",
        "positions of earlier segments that the layers keep in a changed evaluation"),
      .optional(
        "memory_bytes", \.memoryBytes, .count(), .quantity, unit: "bytes",
        "what the layers keep of earlier segments, once it is full, of all rows of a batch"),
      .optional(
        "bounded_mean", \.boundedMean, .real, .quantity,
        "mean of the learned numbers that are held in bounds, such as spans as shares of the longest; empty without any"
      ),
      .field(
        "ranks", \.ranks, .integer(1...4096), .contender, unit: "processes", phrase: "% ranks",
        "processes that shared the rows of every step; 1 where a file does not say"),
      .optional(
        "cache_bytes", \.cacheBytes, .amount, .quantity, unit: "bytes",
        "closed form of what generation holds of one sequence of the task's length; empty where layers can keep nothing"
      ),
      .field(
        "extended_from", \.extendedFrom, .text, .contender, phrase: "extended from %",
        "steps, separated by ;, from which a cosine went on to a later end (train --extend); empty without any"
      ),
      .optional(
        "way_tokens_read", \.wayRead, .count(), .quantity, unit: "tokens",
        "tokens of the test rows before a way around attention (task.way); empty without one"),
      .optional(
        "way_tokens_kept", \.wayKept, .count(), .quantity, unit: "tokens",
        "tokens of what the model reads in their place, those of two windows twice"),
      .optional("way_seconds", \.waySeconds, .duration, .time, unit: "s", "time that the way took for them"),
      .field(
        "evaluation_rotary", \.evaluationRotary, .text, .contender, phrase: "rotary %",
        "how far positions turn in a changed evaluation; empty: as in training"),
      .field(
        "auxiliary", \.auxiliary, .text, .contender, phrase: "with %",
        "the auxiliary tasks with their settings and weights or shares; empty without any"),
    ] + taskFields(phrase: "") + [
      .optional(
        "task_weight", \.taskWeight, .amount, .record, "the factor on that task's loss; empty with shares"),
      .optional(
        "task_share", \.taskShare, .fraction, .record,
        "the share of steps that are that task's; empty with weights"),
      .optional(
        "task_steps", \.taskSteps, .count(), .quantity, unit: "steps",
        "optimiser steps that learned from that task"),
      .optional(
        "task_tokens", \.taskTokens, .count(), .quantity, unit: "tokens",
        "training tokens of that task; tokens has those of all"),
      .optional(
        "test_exact_match", \.testExactMatch, .fraction, .quantity,
        "of the test rows that ask for an answer, those whose every scored position was right; empty where none does, or ranks "
          + "share sequences"),
      .optional(
        "test_examples", \.testExamples, .count(), .quantity, unit: "rows", "test rows that ask for an answer"
      ),
    ]
}
