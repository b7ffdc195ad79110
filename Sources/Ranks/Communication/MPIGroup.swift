#if MPI
  import CMPI
  import Foundation
  import Tensors

  /// The processes that `mpirun` started, as ranks.
  ///
  /// MPI is called by one thread alone, the one that made this; the engine's own threads never call it. Messages go on between
  /// calls only when `progress()` is called, which is done between blocks of work.
  public final class MPIGroup: Communicator {
    /// Which process this is.
    public let rank: Int
    /// How many there are.
    public let count: Int
    /// What it has sent.
    public let traffic = TrafficMeter()

    /// Joins the others.
    /// - Throws: `RankFailure` with MPI's reason.
    public init() throws {
      try MPIGroup.check(lab_mpi_start(), rank: 0)
      var (rank, count): (Int32, Int32) = (0, 1)
      try MPIGroup.check(lab_mpi_rank(&rank), rank: 0)
      try MPIGroup.check(lab_mpi_count(&count), rank: Int(rank))
      self.rank = Int(rank)
      self.count = Int(count)
    }

    /// Leaves; no message may be under way, and nothing can be sent afterwards.
    /// - Throws: `RankFailure` with MPI's reason.
    public func finish() throws { try MPIGroup.check(lab_mpi_finish(), rank: rank) }

    /// Waits until all ranks are here.
    /// - Throws: `RankFailure` with MPI's reason.
    public func barrier() throws { try MPIGroup.check(lab_mpi_barrier(), rank: rank) }

    /// Begins to send.
    public func send(_ message: Tensor, to target: Int, tag: MessageTag) throws -> any PendingSend {
      traffic.count(bytes: message.byteCount)
      let pending = MPISend(message, rank: rank, traffic: traffic)
      try message.withUnsafeBytes { bytes in
        try MPIGroup.check(
          lab_mpi_send(
            bytes.baseAddress, try length(bytes.count), Int32(target), tag.rawValue, &pending.request),
          rank: rank)
      }
      return pending
    }

    /// Begins to receive.
    public func receive(
      _ elements: Int, _ precision: Precision, from source: Int, tag: MessageTag, ledger: MemoryLedger?
    ) throws -> any PendingReceive {
      let incoming = try IncomingTensor(shape: [elements], precision: precision, ledger: ledger)
      let pending = MPIReceive(incoming, from: source, rank: rank, traffic: traffic)
      try MPIGroup.check(
        lab_mpi_receive(
          incoming.address, try length(incoming.byteCount), Int32(source), tag.rawValue, &pending.request),
        rank: rank)
      return pending
    }

    /// Lets messages go on.
    public func progress() { _ = lab_mpi_progress() }

    /// Says why in one line and ends all processes.
    public func fail(_ reason: String) {
      FileHandle.standardError.write(Data("rank \(rank) of \(count): \(reason)\n".utf8))
      lab_mpi_abort(2)
    }

    private func length(_ bytes: Int) throws -> Int32 {
      guard let length = Int32(exactly: bytes) else {
        throw RankFailure(
          rank: rank, reason: "a message of \(bytes) bytes; MPI takes 2147483647: give smaller pieces")
      }
      return length
    }

    static func check(_ code: Int32, rank: Int) throws {
      guard code != 0 else { return }
      let text = lab_mpi_text(code)
      defer { free(text) }
      throw RankFailure(rank: rank, reason: text.map { String(cString: $0) } ?? "MPI error \(code)")
    }
  }

  /// A message that leaves; used by the one thread that calls MPI.
  private final class MPISend: PendingSend {
    private let message: Tensor
    private let rank: Int
    private let traffic: TrafficMeter
    var request = lab_mpi_request()

    init(_ message: Tensor, rank: Int, traffic: TrafficMeter) {
      (self.message, self.rank, self.traffic) = (message, rank, traffic)
    }

    func wait() throws {
      var bytes: Int32 = 0
      try traffic.waiting { try MPIGroup.check(lab_mpi_wait(&request, &bytes), rank: rank) }
    }
  }

  /// A message that comes; used by the one thread that calls MPI.
  private final class MPIReceive: PendingReceive {
    private let incoming: IncomingTensor
    private let source: Int, rank: Int
    private let traffic: TrafficMeter
    var request = lab_mpi_request()

    init(_ incoming: IncomingTensor, from source: Int, rank: Int, traffic: TrafficMeter) {
      (self.incoming, self.source, self.rank, self.traffic) = (incoming, source, rank, traffic)
    }

    func wait() throws -> Tensor {
      var bytes: Int32 = 0
      try traffic.waiting { try MPIGroup.check(lab_mpi_wait(&request, &bytes), rank: rank) }
      guard Int(bytes) == incoming.byteCount else {
        throw RankFailure(
          rank: source, reason: "\(bytes) bytes came, \(incoming.byteCount) were expected")
      }
      return incoming.complete()
    }
  }
#endif
