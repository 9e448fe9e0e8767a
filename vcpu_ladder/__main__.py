from vcpu_ladder.cli import main

main()
