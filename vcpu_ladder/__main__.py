from vcpu_ladder.commands.app import main

main()
