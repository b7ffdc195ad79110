import Layers
import Tensors
import Vision

extension TransformerModel {
  /// The loss of what is learned without labels, an image; the hits are those of a linear probe.
  ///
  /// The probe is the classifier, which learns on the features of whole images beside the trunk and hands it nothing back: what it
  /// gets right says what the features hold. With pretext frozen the trunk stays as it was, and the loss is the probe's.
  func loss(
    of pretext: PretextHead, _ input: ModelInput, smoothing: Double, gradientScale: Double, _ run: LayerRun
  ) throws -> CrossEntropy {
    guard let classifier = mainHead.classifier, let trunk = trunk as? VisionTransformer,
      let pixels = input.features?.values
    else {
      preconditionFailure("a model that learns from images has a classifier and reads them")
    }
    let (h, walk, _) = try hidden(input, run.withoutWayBack)
    let features = try mainHead.pool(h, walk).output
    var scored = try classifier.product(features, walk)
    let probe = try context.crossEntropies(
      &scored, targets: input.targets, smoothing: smoothing, gradientScale: gradientScale
    ).total
    if gradientScale != 0 { try classifier.accumulateGradients(scored, x: features, walk) }
    guard pretext.kind != .frozen else { return probe }
    let sum = try pretext.loss(
      pixels, through: trunk, gradientScale: gradientScale, run.over(batch: input.batch, lengths: nil)
    ) { h, run in try self.mainHead.pool(h, run) }
    return CrossEntropy(sum: sum, rows: input.batch, correct: probe.correct)
  }
}
