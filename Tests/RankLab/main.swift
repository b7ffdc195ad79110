// Attention over ranks that are processes: `mpirun -n P attnlab-ranks check|long N|fail R|vanish R`.
// Without the package trait MPI, or without mpirun, ranks are threads: `attnlab-ranks --threads P check`.
import Foundation

exit(RankLab.main(Array(CommandLine.arguments.dropFirst())))
