import ArrayFiles
import Attention
import AttentionCore
import Foundation
import LabTestSupport
import Tensors
import Testing

@testable import Models
@testable import Pretrained

/// Tiny checkpoints as transformers 5.23 saves them, with its answers in double precision
/// (`Experiments/peers/compare_huggingface.py --fixtures`).
let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
  "Fixtures"
).path
let families = HuggingFaceConfiguration.Family.allCases.filter { $0.fillsMasks || $0 == .gpt2 }.map(
  \.rawValue)
let serial = ExecutionContext.recycling(threads: 1)

func load(_ path: String) throws -> PretrainedModel {
  try PretrainedModel(contentsOf: path, catalog: .standard, context: serial)
}

func relativeError(_ a: [Float], _ b: [Float]) -> Double {
  guard a.count == b.count else { return .infinity }
  let gap = zip(a, b).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
  return (gap / a.reduce(0.0) { $0 + Double($1) * Double($1) }).squareRoot()
}

/// Copies a fixture into a folder that is removed at the end.
func withCopy(of family: String, _ body: (String) throws -> Void) throws {
  let scratch = try Scratch(), folder = scratch("model")
  try FileManager.default.copyItem(atPath: fixtures + "/" + family, toPath: folder)
  try body(folder)
}

func change(_ path: String, _ edit: (inout Safetensors) throws -> Void) throws {
  var file = try Safetensors(contentsOf: path)
  try edit(&file)
  try file.write(to: path)
}
