import LabTestSupport
import Tensors
import Testing

@testable import ArrayFiles

/// Edges of a user's file: every form that is read, and one line for each that is not.
@Suite struct EdgeFileTests {
  @Test(
    "text with commas, semicolons, tabs, blanks, a heading, comments and empty lines",
    arguments: [
      "0,1\n2,3\n", "source,target\n0,1\n2,3", "# a graph\n\n0\t1\r\n2 ; 3\r\n", "0 1\n 2   3 \n\n",
    ])
  func text(_ text: String) throws {
    let scratch = try Scratch()
    let edges = try EdgeFile.edges(scratch.write("e.csv", text))
    #expect(edges.sources == [0, 2] && edges.targets == [1, 3])
  }

  @Test("arrays by row and, as torch_geometric has them, by column")
  func arrays() throws {
    let scratch = try Scratch()
    for (values, shape) in [([0, 1, 2, 3, 4, 5], [3, 2]), ([0, 2, 4, 1, 3, 5], [2, 3])] {
      try NpyArray(values, shape: shape, as: .int64).write(to: scratch("e.npy"))
      let edges = try EdgeFile.edges(scratch("e.npy"))
      #expect(edges.sources == [0, 2, 4] && edges.targets == [1, 3, 5])
    }
  }

  @Test(
    "what is no edge is named with its line",
    arguments: [
      ("", "no edges in it"), ("source,target\n", "no edges in it"), ("0,1\n2\n", "line 2: \"2\" is no edge"),
      ("0,1,2\n", "line 1"), ("0,-1\n", "line 1"), ("0,1\na,b\n", "line 2: \"a,b\""), ("0.5,1\n", "line 1"),
      ("0,,1\n", "line 1"), ("0,9999999999\n", "line 1"), (",1,2\n", "line 1"), ("01\n", "line 1"),
    ])
  func badText(_ text: String, _ problem: String) throws {
    let scratch = try Scratch()
    let path = try scratch.write("e.csv", text)
    #expect {
      try EdgeFile.edges(path)
    } throws: {
      "\($0)".contains(problem) && "\($0)".hasPrefix(path) && !"\($0)".contains("\n")
    }
  }

  @Test("an array that holds no edges is refused in one line")
  func badArrays() throws {
    let scratch = try Scratch()
    let path = scratch("e.npy")
    func expect(_ array: NpyArray, _ problem: String) throws {
      try array.write(to: path)
      #expect {
        try EdgeFile.edges(path)
      } throws: {
        "\($0)".contains(problem) && !"\($0)".contains("\n")
      }
    }
    try expect(NpyArray([Float(0), 1], shape: [1, 2]), "float32 numbers")
    try expect(NpyArray([0, 1, 1], shape: [3], as: .int32), "shape [3]")
    try expect(NpyArray([0, 1, 1], shape: [1, 3], as: .int32), "shape [1, 3]")
    try expect(NpyArray([0, -1], shape: [1, 2], as: .int32), "edge 0, 0 → -1")
    try expect(NpyArray([Int](), shape: [0, 2], as: .int64), "no edges")
  }
}
