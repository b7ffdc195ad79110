import ArrayFiles
import Models
import Tensors

/// BERT's prediction head: `logits = LayerNorm(f(h·Wᵀ + b))·Eᵀ + c`.
///
/// h `[rows, width]`, W `[width, width]`, E the embedding (or an output matrix of its own) `[vocabulary, width]`,
/// c `[vocabulary]`; f is the model's activation, in RoBERTa always GELU. Source: Devlin et al. 2019, appendix A.2.
struct MaskedLanguageHead {
  let weight: Tensor
  let bias: Tensor
  let gain: Tensor
  let shift: Tensor
  let outputBias: Tensor
  let activation: Activation
  let epsilon: Double

  /// Takes the head's tensors; `nil` for a checkpoint without one.
  /// - Throws: `SafetensorsError` for a wrong shape, or a head of which a part is missing.
  init?(
    _ file: Safetensors, _ configuration: HuggingFaceConfiguration, path: String,
    used: inout Set<String>
  ) throws(SafetensorsError) {
    let names = configuration.headNames, model = configuration.model
    guard configuration.family.fillsMasks, file.tensors[names.dense + ".weight"] != nil else { return nil }
    weight = try file.finiteTensor(names.dense + ".weight", shape: [model.width, model.width], path: path)
    bias = try file.finiteTensor(names.dense + ".bias", shape: [model.width], path: path)
    gain = try file.finiteTensor(names.norm + ".weight", shape: [model.width], path: path)
    shift = try file.finiteTensor(names.norm + ".bias", shape: [model.width], path: path)
    // A head of its own has a bias of its own; `bias` is then a leftover that no product reads.
    let own = names.decoder.replacing(".weight", with: ".bias")
    let output = !model.tied && file.tensors[own] != nil ? own : names.bias
    outputBias = try file.finiteTensor(output, shape: [model.vocabulary], path: path)
    used.formUnion([names.bias, own])
    for name in [names.dense, names.norm] { used.formUnion([name + ".weight", name + ".bias"]) }
    switch (configuration.family, model.feedForward) {
    case (.roberta, _), (_, .gelu): activation = .gelu
    case (_, .relu): activation = .relu
    default: activation = .geluTanh
    }
    epsilon = model.epsilon
  }

  /// Logits `[rows, vocabulary]` of hidden states `[rows, width]`.
  func logits(_ hidden: Tensor, output: Tensor, _ context: ExecutionContext) throws -> Tensor {
    let dense = try context.activate(
      context.matmul(hidden, .plain, weight, .transposed, bias: bias), activation)
    let (normal, _) = try context.normalize(dense, gain: gain, shift: shift, centred: true, epsilon: epsilon)
    return try context.matmul(normal, .plain, output, .transposed, bias: outputBias)
  }
}
