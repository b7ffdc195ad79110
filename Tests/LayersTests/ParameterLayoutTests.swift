import Basics
import Tensors
import Testing

@testable import Layers

/// The flat array of a model's parameters: where each stands, how it starts, and what of it another layout can take.
@Suite struct ParameterLayoutTests {
  private static func layout(_ names: [String]) -> (ParameterLayout, [ParameterSlot]) {
    var layout = ParameterLayout()
    let slots = names.map { layout.add($0, [2, 3], .normal(1), decays: !$0.hasSuffix("bias")) }
    return (layout, slots)
  }

  @Test("a parameter draws from the child of its own name, wherever it stands")
  func draws() throws {
    let key = RandomKey(seed: 7)
    let (first, a) = Self.layout(["a", "b"]), (second, b) = Self.layout(["b", "c", "a"])
    let (x, y) = (try first.initialValues(key: key).array(), try second.initialValues(key: key).array())
    #expect(Array(x[a[0].range]) == Array(y[b[2].range]))
    #expect(Array(x[a[1].range]) == Array(y[b[0].range]))
    #expect(Array(x[a[0].range]) != Array(x[a[1].range]))
  }

  @Test("a copy starts as its source")
  func copies() throws {
    var layout = ParameterLayout()
    let source = layout.add("source", [2, 2], .normal(1), decays: true)
    let copy = layout.add("copy", [2], .copy(of: source.offset + 2), decays: true)
    let values = try layout.initialValues(key: RandomKey(seed: 1)).array()
    #expect(Array(values[copy.range]) == Array(values[2..<4]))
  }

  @Test("values of another layout come by name; what it lacks starts as its source or as in a fresh model")
  func fromAnotherLayout() throws {
    let (other, _) = Self.layout(["a", "gone"])
    var layout = ParameterLayout()
    _ = layout.add("new", [1], .constant(5), decays: true)
    let a = layout.add("a", [2, 3], .normal(1), decays: true)
    _ = layout.add("copy", [3], .copy(of: a.offset), decays: true)
    let given = try Tensor((0..<12).map { Float($0) }, shape: [12])
    let fresh = try layout.initialValues(key: RandomKey(seed: 2))
    let values = try layout.values(from: other, given, fresh: fresh).array()
    #expect(values == [5, 0, 1, 2, 3, 4, 5, 0, 1, 2])
  }

  @Test("weight decay goes by stretches that are as long as they can be")
  func decay() {
    let (layout, _) = Self.layout(["a", "b", "a.bias", "b.bias", "c"])
    #expect(layout.decayRanges.map(\.range) == [0..<12, 12..<24, 24..<30])
    #expect(layout.decayRanges.map(\.decays) == [true, false, true])
  }
}
