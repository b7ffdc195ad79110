import Layers
import Tensors

/// What turns the last hidden states into the predictions of one task: logits of tokens at every position, or those of a class of the
/// whole sequence. All heads of a model read the same body.
///
/// A class is told from the pooled states of all real positions, as `pooling` says: their mean, in a decoder as in an encoder.
struct TaskHead {
  /// The auxiliary task; `nil`: the main one.
  let name: String?
  /// Tokens or classes.
  let outputs: Int
  /// `[outputs, width]` of a head that predicts tokens.
  let output: ParameterSlot?
  /// What makes one row of a sequence for the classifier; `nil` where the trunk gives one.
  let pooling: (any Layer)?
  /// What tells a class.
  let classifier: Linear?

  /// One row of every sequence, and the way back to all rows.
  func pool(_ h: Tensor, _ run: LayerRun) throws -> (output: Tensor, pullback: Pullback) {
    try pooling?.forward(h, run) ?? (h, Pullback { dy, _ in dy })
  }
}

extension TaskHead {
  /// The head of an auxiliary task, with weights of its own.
  init(
    _ head: TaskHeadConfiguration, of model: ModelConfiguration, in layout: inout ParameterLayout
  ) {
    let name = "heads.\(head.name)", width = model.outputWidth
    (self.name, outputs) = (head.name, head.outputs)
    guard head.isClassification else {
      output = layout.add(
        name + ".weight", [head.tokens, width], .normal(1 / Double(width).squareRoot()), decays: true)
      (pooling, classifier) = (nil, nil)
      return
    }
    output = nil
    pooling = model.pooling.layer(name + ".pooling", width: width, in: &layout)
    classifier = Linear(name, from: width, to: head.classes, bias: true, in: &layout)
  }

  /// Where its parameters begin in the flat array.
  func offset(in layout: ParameterLayout) -> Int? {
    name.flatMap { name in layout.slots.first { $0.name.hasPrefix("heads.\(name).") }?.offset }
  }
}

extension TransformerModel {
  /// The head of a task.
  /// - Parameter task: an auxiliary task; `nil`: the main one.
  /// - Precondition: the model has it, as `ModelInput.validate` checks.
  func head(of task: String?) -> TaskHead {
    guard let task else { return mainHead }
    guard let head = taskHeads.first(where: { $0.name == task }) else {
      preconditionFailure("no head of the task \(task); there are \(taskHeads.compactMap(\.name))")
    }
    return head
  }

  /// The weights that make the main task's logits of tokens; `nil`: it tells classes.
  package var outputWeight: ParameterSlot? { mainHead.output }

  /// Where the parameters of auxiliary heads begin; `nil`: there are none.
  var firstOfHeads: Int? { taskHeads.first?.offset(in: layout) }
}
