import ArrayFiles
import Attention
import AttentionCore
import Foundation
import LabTestSupport
import Models
import Tensors
import Testing

@testable import Pretrained

/// Tiny models over images and videos as timm 1.0 and transformers 5.24 save them, with their logits in double precision
/// (`Experiments/peers/compare_vit.py --fixtures`).
@Suite struct VisionCheckpointTests {
  static let names = HuggingFaceConfiguration.Family.allCases.filter(\.readsImages).map(\.rawValue)

  @Test("logits are those of the program that made the checkpoint", arguments: names)
  func logits(name: String) throws {
    let folder = fixtures + "/" + name
    let model = try load(folder)
    #expect(model.family == name && model.unused.isEmpty && model.hasGradients)
    let pixels = try NpyArray(contentsOf: folder + "/images.npy").tensor()
    let found = try model.logits(ModelInput(images: pixels))
    let expected = try NpyArray(contentsOf: folder + "/logits.npy").floats
    #expect(relativeError(expected, found.array()) < 2e-6)
  }

  @Test("ε is that of the family", arguments: [("vit", 1e-12), ("timm", 1e-6), ("timesformer", 1e-6)])
  func epsilon(name: String, epsilon: Double) throws {
    #expect(try load(fixtures + "/" + name).model.configuration.epsilon == epsilon)
  }

  @Test(
    "what cannot be expressed is refused by name",
    arguments: [
      ("vit", "\"qkv_bias\": true", "\"qkv_bias\": false", "qkv_bias"),
      ("vit", "\"patch_size\": 4", "\"patch_size\": 3", "patch"),
      ("timm", "\"global_pool\": \"token\"", "\"global_pool\": \"avg\"", "global_pool"),
      ("timm", "\"img_size\": 8", "\"img_size\": 8, \"reg_tokens\": 4", "reg_tokens"),
      ("timm", "vit_tiny_patch16_224", "vit_odd", "vit_tiny_patch16_224 and its like"),
      ("timesformer", "divided_space_time", "space_only", "attention_type"),
    ])
  func refusals(name: String, old: String, new: String, word: String) throws {
    try withCopy(of: name) { folder in
      let path = folder + "/config.json"
      let text = try String(contentsOfFile: path, encoding: .utf8)
      #expect(text.contains(old))
      try text.replacing(old, with: new).write(toFile: path, atomically: true, encoding: .utf8)
      #expect { try load(folder) } throws: { "\($0)".contains(word) && !"\($0)".contains("\n") }
    }
  }

  @Test("a checkpoint without a part is refused with the name of the part", arguments: names)
  func missing(name: String) throws {
    try withCopy(of: name) { folder in
      let part = name == "timm" ? "pos_embed" : "\(name).embeddings.position_embeddings"
      try change(folder + "/model.safetensors") { $0.tensors[part] = nil }
      #expect { try load(folder) } throws: { "\($0)".contains(part) }
    }
  }
}
