"""What the tests are made of: wheels, stand-in torches, virtual environments and a web server, all real and local."""
