import ArrayFiles
import Basics
import Foundation
import LabTestSupport
import Tensors
import Testing

/// What a cheaper attention loses: `apply --against`, `forward --attention`.
@Suite struct WhatIsLostTests {
  let scratch: Scratch
  init() throws { scratch = try Scratch() }

  @Test("apply --against tells the error and the weights kept of every head, as the outputs themselves do")
  func against() async throws {
    let heads = 2, rows = 24, width = 4
    var arrays: [String] = []
    for name in ["q", "k", "v"] {
      let tensor = try Tensor.normal([2, heads, rows, width], key: RandomKey(seed: 7)(name))
      try NpyArray(tensor).write(to: scratch("\(name).npy"))
      arrays += ["--\(name)", scratch("\(name).npy")]
    }
    func apply(_ variant: String, _ more: [String]) async throws -> BuiltProgram.Result {
      let files = ["--out", scratch("\(variant).npy"), "--lse", scratch("\(variant)-lse.npy")]
      return try await BuiltProgram.attnlab.finished(["apply", variant] + arrays + files + more)
    }
    #expect(try await apply("full", []).code == 0)
    let found = try await apply("chunked", ["--set", "chunk=8", "--against", "full", "--json"])
    #expect(found.code == 0, "\(found.errors)")
    let json = try JSONValue(parsing: found.output, file: "json")["against"]
    #expect(json["attention"].stringValue == "full" && json["heads"].arrayValue.count == heads + 1)
    func values(_ name: String) throws -> [Float] { try NpyArray(contentsOf: scratch(name + ".npy")).floats }
    let (own, full) = (try values("chunked"), try values("full"))
    let (ownSums, fullSums) = (try values("chunked-lse"), try values("full-lse"))
    for (index, line) in json["heads"].arrayValue.enumerated() {
      let mine = (0..<2 * heads * rows).filter { index == heads || $0 / rows % heads == index }
      let elements = mine.flatMap { $0 * width..<($0 + 1) * width }
      func norm(_ x: (Int) -> Float) -> Double {
        elements.reduce(0) { $0 + pow(Double(x($1)), 2) }.squareRoot()
      }
      let error = norm { own[$0] - full[$0] } / norm { full[$0] }
      let mass = mine.reduce(0) { $0 + exp(Double(ownSums[$1] - fullSums[$1])) } / Double(mine.count)
      #expect(abs((line["error_rel"].numberValue ?? 0) / error - 1) < 1e-4 && error > 0.1)
      #expect(abs((line["kept_mass"].numberValue ?? 0) / mass - 1) < 1e-4 && mass < 0.9)
    }
    // Other scores: there is no share of the weights.
    let other = try await apply("lsh", ["--set", "chunk=8", "--against", "full"])
    #expect(other.code == 0 && other.output.contains("error against full"), "\(other.output) \(other.errors)")
    let refused = try await apply("full", ["--against", "full, chunked"])
    #expect(refused.code == 2 && refused.errors.contains("--against"), "\(refused.errors)")
  }

  @Test("forward --attention writes weights that sum to one over the past, and draws them")
  func maps() async throws {
    let tokens = scratch("t.npy")
    try NpyArray([1, 2, 3, 4, 5, 6, 7, 8, 9, 1], shape: [2, 5], as: .int32).write(to: tokens)
    func forward(_ checkpoint: String, _ file: String) async throws -> BuiltProgram.Result {
      let folder = ExampleFolder.package + "/Tests/PretrainedTests/Fixtures/" + checkpoint
      return try await BuiltProgram.attnlab.finished([
        "forward", "--checkpoint", folder, "--tokens", tokens, "--attention", scratch(file),
      ])
    }
    for file in ["a.npy", "a.svg", "a.png"] {
      let made = try await forward("gpt2", file)
      #expect(made.code == 0, "\(made.errors)")
    }
    let maps = try NpyArray(contentsOf: scratch("a.npy"))
    #expect(maps.shape.count == 5 && maps.shape[1] == 2 && Array(maps.shape.suffix(2)) == [5, 5])
    for (row, start) in stride(from: 0, to: maps.count, by: 5).enumerated() {
      let weights = maps.floats[start..<start + 5]
      #expect(abs(weights.reduce(0, +) - 1) < 1e-6)
      #expect(weights.suffix(4 - row % 5).allSatisfy { $0 == 0 } && weights.allSatisfy { $0 >= 0 })
    }
    let picture = try String(contentsOfFile: scratch("a.svg"), encoding: .utf8)
    for layer in 0..<maps.shape[0] { #expect(picture.contains(">layer \(layer)<")) }
    for head in 0..<maps.shape[2] { #expect(picture.contains(">head \(head)<")) }
    #expect(
      try Data(contentsOf: URL(fileURLWithPath: scratch("a.png"))).starts(with: [0x89, 0x50, 0x4E, 0x47]))
    // A model without a head has attention all the same.
    #expect(try await forward("bert", "b.npy").code == 0)
    let refused = try await forward("gpt2", "a.txt")
    #expect(refused.code == 2 && refused.errors.contains(".npy, .svg or .png"), "\(refused.errors)")
  }
}
