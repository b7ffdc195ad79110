import Models
import RealModule
import Tasks
import Tensors

extension TaskReader {
  /// The loss of a batch in evaluation. Where rows are parts of examples whose class is asked for, an example's loss is −ln of
  /// the mean of its parts' probabilities, and it is right when the class that they are joined to is.
  func evaluationLoss(_ split: Split, index: Int) throws -> CrossEntropy {
    guard let parted = task as? any PartedTask, let join = parted.join else {
      return try model.loss(input(split, index: index))
    }
    let (batch, examples) = try parted.parts(
      split: split, index: place(split, index: index), batchSize: configuration.batch)
    let logits = try model.logits(ModelInput(batch))
    let values = logits.array(), classes = logits.shape[1]
    var loss = CrossEntropy(), row = 0
    while row < examples.count {
      let rows = row..<(examples[row...].firstIndex { $0 != examples[row] } ?? examples.count)
      var parts = PartAnswers()
      for part in rows { parts.add(PartJoin.probabilities(values[part * classes..<(part + 1) * classes])) }
      let expected = Int(batch.labels[row]), isRight = parts.label(by: join) == expected
      loss = loss + CrossEntropy(sum: -Double.log(parts.mean[expected]), rows: 1, correct: isRight ? 1 : 0)
      row = rows.upperBound
    }
    return loss
  }
}
